"""Results of groups of patients: by sex, age, skin type, site."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.measures.bootstrap import estimate
from slimp_pipeline.evaluation.measures.measure import average, fold_weightings
from slimp_pipeline.evaluation.measures.metrics import classification_metrics
from slimp_pipeline.evaluation.measures.records import METRIC_BOUNDS, classes_of
from slimp_pipeline.evaluation.measures.units import by_unit
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.tables.splits import HOLDOUT

SUBGROUP_COLUMNS = [
    "field", "group", "method", "features", "metric", "value", "ci_low", "ci_high", "num_patients", "num_images",
    "too_small",
]  # fmt: skip
METRICS = ["balanced_accuracy", "macro_auroc", "malignant_auroc", "sensitivity_at_95_specificity"]
_OF_MALIGNANT = ("malignant_auroc", "sensitivity_at_95_specificity")
_FEATURES = ("image", "image+lesion+patient")  # each doubles the table
NOT_KNOWN = "not known"
AGE = "age_years"


def subgroup_table(predictions: pd.DataFrame, rows: pd.DataFrame, settings: EvaluationParams) -> pd.DataFrame:
    """Measure the linear probe on each group of patients apart.

    A group is measured within each fold (on the hold-out where there are no folds), the mean is over the folds in
    which it can be, the interval is by bootstrap over the group's patients within folds.

    Args:
        predictions: As `protocol.predict` returns them; every method scores the same images.
        rows: The evaluated rows: image_id and one column per field; a group field that isn't there is left out.
        settings: Groups, seed, number of resamples and confidence of the interval.

    Returns:
        `SUBGROUP_COLUMNS`, one row per field, group, method, feature set and metric that can be measured. Rows whose
        field is missing form the group `NOT_KNOWN`. A group of too few patients has one row per method and feature
        set, without metric (empty) and value (NaN). Where too few have a malignant or too few a benign lesion,
        metrics that tell the two apart are left out.

    Raises:
        ValueError: If `rows` lacks an image of the predictions, or the age edges aren't whole years that rise.
    """
    probe = predictions[(predictions["protocol"] == "linear_probe") & predictions["features"].isin(_FEATURES)]
    in_fold = probe["draw"] != HOLDOUT
    probe = probe[in_fold] if in_fold.any() else probe
    if absent := set(probe["image_id"]) - set(rows["image_id"]):
        raise ValueError(f"{len(absent)} predicted images aren't among the rows, first: {min(absent)}")
    classes, malignant_K = classes_of(predictions)
    table = []
    for field in (name for name in settings.subgroups.fields if name in rows):
        group_N, names = patient_groups(rows[field], settings.subgroups.age_edges)
        group_of_image = pd.Series(group_N.to_numpy(), index=pd.Index(rows["image_id"]))
        members = probe["image_id"].map(group_of_image)
        for name in names:
            measured = _measure(probe[members == name], classes, malignant_K, settings)
            table += [[field, name, *row] for row in measured]
    return pd.DataFrame(table, columns=SUBGROUP_COLUMNS)


def patient_groups(values: pd.Series, age_edges: Sequence[float]) -> tuple[pd.Series, list[str]]:
    """Name the group of each row; and the groups in the order in which they are shown."""
    if values.name == AGE:
        names = _age_bands(age_edges)
        group = pd.cut(values.astype(float), [-np.inf, *age_edges, np.inf], right=False, labels=names).astype(object)
    else:
        group = values.map(_group_name, na_action="ignore").astype(object).where(values.notna())
        names = sorted(group.dropna().unique())
    return group.where(group.notna(), NOT_KNOWN), [*names, NOT_KNOWN]


def numbered_sites(values: pd.Series) -> pd.Series:
    """Call sites `site 1`, `site 2`, ... in the order of their names: who has the cohort can tell which they are."""
    names = sorted(values.dropna().unique())
    width = len(str(len(names)))
    return values.map({name: f"site {number:0{width}}" for number, name in enumerate(names, start=1)})


def _group_name(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _age_bands(edges: Sequence[float]) -> list[str]:
    """Names of the bands between the edges, in completed years: `under 40`, `40 to 59`, `60 or older`."""
    if not edges or list(edges) != sorted({float(int(edge)) for edge in edges}):
        raise ValueError(f"evaluation.subgroups.age_edges is {list(edges)}: give whole years that rise, at least one")
    between = [f"{low:g} to {high - 1:g}" for low, high in pairwise(edges)]
    return [f"under {edges[0]:g}", *between, f"{edges[-1]:g} or older"]


def _measure(
    group: pd.DataFrame, classes: Sequence[str], malignant_K: np.ndarray, settings: EvaluationParams
) -> list[list[object]]:
    """Rows of the table, from `method` on, of one group: its predictions by every method and feature set."""
    sizes = group["patient_id"].nunique(), group["image_id"].nunique()
    metrics = _measurable(group, classes, settings.subgroups.min_patients_per_class)
    if sizes[0] < settings.subgroups.min_patients or not metrics:
        keys = group[["method", "features"]].drop_duplicates().to_numpy()
        return [[*key, "", np.nan, np.nan, np.nan, *sizes, True] for key in keys]
    group = by_unit(group, settings)
    by_fold: dict[tuple[str, str], list[dict[str, np.ndarray]]] = {}
    for position, (_, fold) in enumerate(group.groupby("draw", observed=True)):
        weightings = fold_weightings(fold.drop_duplicates("image_id").sort_values("image_id"), settings, position)
        for (method, features), scored in fold.groupby(["method", "features"], sort=False, observed=True):
            scored = scored.sort_values("image_id")
            score_NK = scored[[f"score.{name}" for name in classes]].to_numpy()
            label_N = pd.Index(classes).get_indexer(scored["label"])
            values = classification_metrics(score_NK, label_N, malignant_K, weightings)
            by_fold.setdefault((str(method), str(features)), []).append(values)
    measured: list[list[object]] = []
    for key, values_by_fold in by_fold.items():
        for metric, value_R in average(values_by_fold).items():
            if metric in metrics and not np.isnan(value_R[0]):
                measured.append([*key, metric, *estimate(value_R, settings.confidence, METRIC_BOUNDS), *sizes, False])
    return measured


def _measurable(group: pd.DataFrame, classes: Sequence[str], min_patients: int) -> list[str]:
    """Metrics that a group has enough patients for, of either class where malignant and benign are told apart."""
    of_class = group.drop_duplicates(["patient_id", "label_malignant"])["label_malignant"]
    if min(of_class.eq(1).sum(), of_class.eq(0).sum()) >= min_patients:
        return METRICS
    return [] if len(classes) == 2 else [name for name in METRICS if name not in _OF_MALIGNANT]
