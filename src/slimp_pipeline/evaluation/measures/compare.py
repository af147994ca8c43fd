"""Comparison of several runs on the same patients: mean over seeds, paired differences."""

import logging
from collections.abc import Callable, Mapping
from itertools import combinations
from math import lcm
from typing import Any

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.measures.bootstrap import drawn_anew, estimate, mean_where_known
from slimp_pipeline.evaluation.measures.measure import measure
from slimp_pipeline.evaluation.measures.records import (
    ADAPTED,
    Key,
    comparable,
    is_pretrained,
    metric_estimate,
)
from slimp_pipeline.parameters import EvaluationParams

logger = logging.getLogger(__name__)
COMPARISON_COLUMNS = [
    "cohort", "features", "protocol", "metric", "method", "num_runs", "value", "ci_low", "ci_high", "sd_between_runs",
]  # fmt: skip
PAIR_COLUMNS = [
    "cohort", "features", "protocol", "metric", "method", "reference", "difference", "ci_low", "ci_high",
    "within_noise", "num_comparisons",
]  # fmt: skip
TRUTH_COMPARISON_COLUMNS = ["question", "measure", "chance", "method", "num_runs", "value", "lowest", "highest"]
READING_COMPARISON_COLUMNS = [
    "field", "level", "question", "metric", "method", "num_runs", "value", "lowest", "highest",
]  # fmt: skip
_COMPARED = ("linear_probe", "linear_probe_f1", "baseline", "fine_tune")
Load = Callable[[], pd.DataFrame]


def compare_runs(
    cohort: str,
    versions: Mapping[str, Load],
    groups: Mapping[str, list[str]],
    settings: EvaluationParams,
    *,
    leaks: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare groups of runs, each the same method trained with several seeds.

    Args:
        cohort: The target cohort that all of them were evaluated on.
        versions: Version -> a function that loads its predictions.
        groups: Label -> versions of its runs, seeds in the same order in every group. Empty: every version stands for
            itself, as far as it was tested on what the newest was tested on. If there are several, methods are named
            with theirs.
        settings: Resamples, confidence, seed.
        leaks: Whether runs are compared whose split let patients stand on both sides, or those of other splits.

    Returns:
        values: `COMPARISON_COLUMNS`; means over runs. Intervals are by bootstrap over patients within folds and over
            runs, as `drawn_anew` does it (with one run each: over patients alone). Baselines and starts of training
            stand once for all groups in whose runs they are the same, seed by seed.
        pairs: `PAIR_COLUMNS`; differences of every two methods that are `comparable`, on the same resamples of patients
            and of seeds.

    Raises:
        ValueError: If a version isn't there, runs were evaluated on other images, patients, folds or labels, some
            leak and others don't, or the runs of a group were pre-trained by different objectives.
    """
    measured = [
        (label, position, measure(cohort, predictions[predictions["protocol"].isin(_COMPARED)], settings)[1])
        for label, position, predictions in _load(versions, groups, cohort, leaks=leaks)
    ]
    named = _naming(groups, {(label, position): averaged for label, position, averaged in measured}, _same)
    gathered: dict[Key, dict[int, list[dict[str, np.ndarray]]]] = {}
    for label, position, averaged in measured:
        for key, values in averaged.items():
            gathered.setdefault(key._replace(method=named(key, label)), {}).setdefault(position, []).append(values)
    over_runs = {key: _stack(by_position) for key, by_position in gathered.items()}
    if not over_runs:
        raise ValueError(
            f"no run on {cohort} has a linear probe, a baseline or fine-tuning: there is nothing to compare"
        )
    counts = [len(next(iter(values.values()))) for values in over_runs.values()]
    rng = np.random.default_rng(settings.seed)
    runs_RS = rng.integers(lcm(*counts), size=(settings.num_resamples, max(counts)))
    resampled = {
        key: {metric: _resample_runs(values_SR, runs_RS, settings.confidence) for metric, values_SR in values.items()}
        for key, values in over_runs.items()
    }
    return _values(cohort, over_runs, resampled, settings), _pairs(cohort, resampled, settings)


def compare_truths(versions: Mapping[str, Load], groups: Mapping[str, list[str]]) -> pd.DataFrame:
    """Put side by side what groups of runs found again of a fabricated cohort's causes.

    Args:
        versions: Version -> a function that loads its table of known truth, empty for a real cohort.
        groups: As in `compare_runs`.

    Returns:
        `TRUTH_COMPARISON_COLUMNS`: mean, lowest and highest of a group's runs.
    """
    return _spread_over_runs(versions, groups, TRUTH_COMPARISON_COLUMNS)


def compare_readings(versions: Mapping[str, Load], groups: Mapping[str, list[str]]) -> pd.DataFrame:
    """Put side by side how well groups of runs let each field be read from images, and what it adds to them.

    Args:
        versions: Version -> a function that loads its table of `evaluation.audits.field_reading`, empty where nothing
            was read.
        groups: As in `compare_runs`.

    Returns:
        `READING_COMPARISON_COLUMNS`: mean, lowest and highest of a group's runs.
    """
    return _spread_over_runs(versions, groups, READING_COMPARISON_COLUMNS)


def _spread_over_runs(
    versions: Mapping[str, Load], groups: Mapping[str, list[str]], columns: list[str]
) -> pd.DataFrame:
    """Mean, lowest and highest `value` of each group's runs, by all other columns but the last four."""
    chosen = _or_one_by_one(groups, versions)
    runs = [
        (label, position, versions[run]())
        for label, own in chosen.items()
        for position, run in enumerate(own)
        if run in versions
    ]
    known = [(label, position, table) for label, position, table in runs if len(table)]
    if not known:
        return pd.DataFrame(columns=columns)
    by_method = {
        (label, position): {str(method): rows.reset_index(drop=True) for method, rows in table.groupby("method")}
        for label, position, table in known
    }
    named = _naming(groups, by_method, pd.DataFrame.equals)
    tables = [table.assign(method=[named(method, label) for method in table["method"]]) for label, _, table in known]
    values = pd.concat(tables).groupby(columns[:-4], sort=False, dropna=False)["value"]
    return values.agg(num_runs="count", value="mean", lowest="min", highest="max").reset_index()[columns]


def _load(
    versions: Mapping[str, Load], groups: Mapping[str, list[str]], cohort: str, *, leaks: bool
) -> list[tuple[str, int, pd.DataFrame]]:
    """Label, position in its group, and predictions of every run, after checking that they go together."""
    if not versions:
        raise ValueError(f"there are no predictions on {cohort} yet. Run `kedro run --pipeline=evaluate` first.")
    chosen = _or_one_by_one(groups, versions)
    runs = [(label, position, version) for label, names in chosen.items() for position, version in enumerate(names)]
    if absent := sorted({version for _, _, version in runs} - set(versions)):
        raise ValueError(
            f"comparison.groups names {', '.join(absent)}: no predictions on {cohort} have this version. There are: "
            f"{', '.join(list(versions)[-10:])}"
        )
    loaded: list[tuple[str, int, pd.DataFrame]] = []
    expected: tuple[str, pd.DataFrame] | None = None
    for label, position, version in runs:
        predictions = versions[version]()
        tested = predictions[["image_id", "patient_id", "draw", "label"]].drop_duplicates()
        tested = tested.sort_values("image_id", ignore_index=True)
        if _leaks(tested) != leaks:
            found = f"{'no patient stands' if leaks else 'patients stand'} in several folds"
            if not groups:
                logger.info("In %s %s: left out", version, found)
                continue
            asked = "a split where some do" if leaks else "no such split"
            raise ValueError(
                f"in run {version} {found}, and features.split_level asks for {asked}. A run that leaks shows what a "
                "leak adds; it can't stand beside results."
            )
        if expected and not tested.astype(str).equals(expected[1].astype(str)):
            if not groups:
                logger.info("%s was tested on other images or folds than %s: left out", version, expected[0])
                continue
            raise ValueError(
                f"runs {expected[0]} and {version} were tested on other images, patients, folds or labels of {cohort}: "
                "they can't be compared. Evaluate both with the same features.seed, num_folds and split_file."
            )
        expected = expected or (version, tested)
        if not groups and (same := next((name for name, _, other in loaded if predictions.equals(other)), None)):
            logger.info("%s predicts the very same as %s: left out", version, same)
            continue
        loaded.append((label, position, predictions))
    if not loaded:
        raise ValueError(
            f"every run on {cohort} was left out: patients stand in several folds in all or in none of them, and "
            "features.split_level asks for the other."
        )
    _require_one_objective(chosen, loaded)
    return loaded


def _require_one_objective(groups: Mapping[str, list[str]], loaded: list[tuple[str, int, pd.DataFrame]]) -> None:
    first_of: dict[str, tuple[str, str]] = {}  # label -> its first version and what that pre-trained
    for label, position, predictions in loaded:
        version = groups[label][position]
        trained = ", ".join(sorted(filter(is_pretrained, predictions["method"].unique()))) or "none"
        first, first_trained = first_of.setdefault(label, (version, trained))
        if trained != first_trained:
            raise ValueError(
                f"comparison.groups: {label} holds {first} ({first_trained}) and {version} ({trained}), but the runs "
                "of a group differ by seed alone: give each objective a group of its own."
            )


def _leaks(tested: pd.DataFrame) -> bool:
    """Whether a patient is tested in several folds, and so was trained on as well."""
    return bool(tested.drop_duplicates(["patient_id", "draw"])["patient_id"].duplicated().any())


def _or_one_by_one(groups: Mapping[str, list[str]], versions: Mapping[str, Load]) -> Mapping[str, list[str]]:
    """The groups asked for, or each version as a group of its own, the newest first."""
    return groups or {version: [version] for version in reversed(list(versions))}


def _owners(
    runs: Mapping[tuple[str, int], Mapping[Any, Any]], same: Callable[[Any, Any], bool]
) -> dict[tuple[Any, str], str | None]:
    """Whose name a group's baselines and starts of training bear.

    Args:
        runs: Label and position of a run -> what was found in it, by key or method.
        same: Whether two such findings are the same.

    Returns:
        (Key or method, label) -> the first label that has the same in its runs, seed by seed; None where all have.
    """
    found: dict[Any, dict[str, dict[int, Any]]] = {}
    for (label, position), of_run in runs.items():
        for key, values in of_run.items():
            if not is_pretrained(_method(key)):
                found.setdefault(key, {}).setdefault(label, {})[position] = values
    owners: dict[tuple[Any, str], str | None] = {}
    for key, by_label in found.items():
        firsts: list[str] = []
        for label, own in by_label.items():
            owner = next((one for one in firsts if _same_seeds(own, by_label[one], same)), None)
            firsts += [] if owner else [label]
            owners[key, label] = owner or label
        if len(firsts) == 1:
            owners |= {(key, label): None for label in by_label}
    return owners


def _same_seeds(own: Mapping[int, Any], other: Mapping[int, Any], same: Callable[[Any, Any], bool]) -> bool:
    return all(same(own[position], other[position]) for position in own.keys() & other.keys())


def _same(values: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> bool:
    return values.keys() == others.keys() and all(
        np.array_equal(values[metric], others[metric], equal_nan=True) for metric in values
    )


def _naming(
    groups: Mapping[str, list[str]],
    runs: Mapping[tuple[str, int], Mapping[Any, Any]],
    same: Callable[[Any, Any], bool],
) -> Callable[[Any, str], str]:
    """What a method is called that was found in a run, by its key or itself and by the label; the rest as `_owners`."""
    owners = _owners(runs, same)

    def named(key: Any, label: str) -> str:
        method, owner = _method(key), owners.get((key, label), label)
        if owner is None or (not groups and len(runs) == 1):
            return method
        return _by_group(method, owner) if groups else f"{method} ({owner})"

    return named


def _method(key: Key | str) -> str:
    return key if isinstance(key, str) else key.method


def _by_group(method: str, label: str) -> str:
    if not is_pretrained(method):
        return f"{method} ({label})"
    return f"{label}, adapted" if method.endswith(ADAPTED) else label


def _stack(by_position: dict[int, list[dict[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Metric -> values by run, (S, 1 + R). Baselines stand in every group's runs: their mean counts once."""
    metrics = next(iter(by_position.values()))[0]
    return {
        metric: np.stack(
            [mean_where_known([values[metric] for values in by_position[position]]) for position in sorted(by_position)]
        )
        for metric in metrics
    }


def _resample_runs(values_SR: np.ndarray, runs_RS: np.ndarray, confidence: float) -> np.ndarray:
    """Mean over runs, then over as many runs drawn with replacement for each resample of patients; (1 + R,).

    The numbers drawn are below a multiple of the number of runs: what is left over is a run, each as likely.
    """
    num_runs = len(values_SR)
    return drawn_anew(values_SR, runs_RS[:, :num_runs].T % num_runs, confidence).mean(axis=0)


def _values(
    cohort: str,
    over_runs: dict[Key, dict[str, np.ndarray]],
    resampled: dict[Key, dict[str, np.ndarray]],
    settings: EvaluationParams,
) -> pd.DataFrame:
    rows = []
    for key, values in resampled.items():
        for metric, value_R in values.items():
            of_runs_S = over_runs[key][metric][:, 0]
            sd = float(of_runs_S.std(ddof=1)) if len(of_runs_S) > 1 else float("nan")
            place = [cohort, key.features, key.protocol, metric, key.method, len(of_runs_S)]
            rows.append([*place, *metric_estimate(metric, value_R, settings.confidence), sd])
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def _pairs(cohort: str, resampled: dict[Key, dict[str, np.ndarray]], settings: EvaluationParams) -> pd.DataFrame:
    rows = []
    for one, other in combinations(resampled, 2):
        if one.protocol == "baseline" and other.protocol == "linear_probe":
            one, other = other, one
        if not comparable(one, other):
            continue
        for metric in resampled[one].keys() & resampled[other].keys():
            difference, low, high = estimate(resampled[one][metric] - resampled[other][metric], settings.confidence)
            within_noise = not (low > 0 or high < 0)  # unmeasurable, too: no difference is shown
            place = [cohort, one.features, one.protocol, metric, one.method, other.method]
            rows.append([*place, difference, low, high, within_noise])
    table = pd.DataFrame([[*row, len(rows)] for row in rows], columns=PAIR_COLUMNS)
    return table.sort_values(["features", "protocol", "metric"], kind="stable", ignore_index=True)
