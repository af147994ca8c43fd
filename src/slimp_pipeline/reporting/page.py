"""The report: one HTML page that carries everything it shows."""

from dataclasses import dataclass
from importlib import resources
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment
from plotly.offline import get_plotlyjs

from slimp_pipeline.reporting.figures import METHOD_NAMES
from slimp_pipeline.tables.patients import RULE
from slimp_pipeline.tables.splits import HOLDOUT

SHOWN_METRICS = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "macro_auroc": "macro AUROC",
    "malignant_auroc": "malignant AUROC",
    "pauc_above_80_tpr": "pAUC > 80 % TPR",
    "sensitivity_at_95_specificity": "sensitivity at 95 % specificity",
    "ece": "calibration error",
}
PROTOCOL_NAMES = {
    "linear_probe": "linear probe",
    "knn": "k-NN, plain vote",
    "knn_prior_weighted": "k-NN, prior-weighted vote",
    "baseline": "baseline",
}


@dataclass(frozen=True)
class Role:
    """One cohort in its role."""

    role: str
    manifest: dict[str, Any]
    splits: pd.DataFrame
    duplicates: pd.DataFrame
    conflicts: pd.DataFrame


def render_page(
    roles: list[Role],
    training_rows: pd.DataFrame,
    history: pd.DataFrame,
    results: pd.DataFrame,
    differences: pd.DataFrame,
    figures: dict[str, go.Figure],
    gallery: list[list[dict[str, Any]]],
) -> str:
    """Render the page.

    Args:
        roles: Source and target.
        training_rows: partition, image_id, patient_id of every pre-training.
        history: The pre-training's history.
        results: The results table.
        differences: Paired differences.
        figures: By name, in the order of the page.
        gallery: Queries with their neighbours; empty where pictures may not be shown.

    Returns:
        HTML; scripts, styles and pictures inline, so that opening it sends no request.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resources.files(__package__).joinpath("page.html").read_text())
    last = history.groupby(["partition", "name"], sort=False)["value"].last().unstack()
    return template.render(
        roles=[vars(role) | {"checks": _checks(role)} for role in roles],
        conflict_rule=RULE,
        pretraining=_pretraining(training_rows, history),
        health=last.reindex(columns=[c for c in last if c.startswith(("validation", "image", "phenotype"))]).round(3),
        results=_results_tables(results),
        differences=_differences_table(differences),
        figures={
            name: figure.to_html(
                full_html=False, include_plotlyjs=False, config={"responsive": True, "displaylogo": False}
            )
            for name, figure in figures.items()
        },
        plotly=get_plotlyjs(),
        style=resources.files(__package__).joinpath("page.css").read_text(),
        gallery=gallery,
        target=roles[-1].manifest,
    )


def _checks(role: Role) -> dict[str, Any]:
    splits, duplicates = role.splits, role.duplicates
    patients = splits.groupby("patient_id")[["split", "fold"]].nunique().max(axis=1)
    folds = splits[splits["split"] == "train"].groupby("fold")
    return {
        "patients_in_several_folds": int((patients > 1).sum()),
        "folds": [
            {"fold": fold, "images": len(rows), "patients": rows["patient_id"].nunique()} for fold, rows in folds
        ],
        "holdout_images": int((splits["split"] == "test").sum()),
        "same_bytes": int((duplicates["kind"] == "same bytes").sum()),
        "near": int((duplicates["kind"] == "near").sum()),
        "across": int(duplicates["across_folds"].sum()),
        "conflicts": role.conflicts.groupby("field").size().to_dict(),
    }


def _pretraining(training_rows: pd.DataFrame, history: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "partition": name,
            "images": len(rows),
            "patients": rows["patient_id"].nunique(),
            "epochs": int(history.loc[history["partition"] == name, "epoch"].max()),
            "steps": int(history.loc[history["partition"] == name, "step"].max()),
        }
        for name, rows in training_rows.groupby("partition", sort=False)
    ]


def _results_tables(results: pd.DataFrame) -> list[dict[str, Any]]:
    draw = "all" if (results["draw"] == "all").any() else HOLDOUT
    shown = results[(results["draw"] == draw) & results["metric"].isin(list(SHOWN_METRICS))]
    tables = []
    for protocol, rows in shown.groupby("protocol", sort=False):
        metrics = [metric for metric in SHOWN_METRICS if metric in set(rows["metric"])]
        lines = []
        for (features, method), cells in rows.groupby(["features", "method"], sort=False):
            by_metric = cells.set_index("metric")
            values = [f"{v.value:.3f} [{v.ci_low:.3f}, {v.ci_high:.3f}]" for v in by_metric.loc[metrics].itertuples()]
            lines.append([features, METHOD_NAMES.get(str(method), str(method)), *values])
        tables.append(
            {
                "title": PROTOCOL_NAMES.get(str(protocol), str(protocol)),
                "header": ["features", "method", *(SHOWN_METRICS[metric] for metric in metrics)],
                "rows": sorted(lines, key=lambda line: line[0]),
            }
        )
    return tables


def _differences_table(differences: pd.DataFrame) -> dict[str, Any]:
    shown = differences[
        differences["metric"].isin(["balanced_accuracy", "macro_auroc"]) & (differences["protocol"] == "linear_probe")
    ]
    rows = [
        [
            row.features,
            METHOD_NAMES.get(row.reference, row.reference),
            SHOWN_METRICS[row.metric],
            f"{row.difference:+.3f} [{row.ci_low:+.3f}, {row.ci_high:+.3f}]",
            "within noise" if row.ci_low <= 0 <= row.ci_high else ("better" if row.difference > 0 else "worse"),
        ]
        for row in shown.itertuples()
    ]
    return {"rows": rows, "num_comparisons": int(differences["num_comparisons"].max()) if len(differences) else 0}
