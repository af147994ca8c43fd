"""The report: one HTML page that carries everything it shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.cohorts.combined import names_of
from slimp_pipeline.evaluation.features.embed import STARTS
from slimp_pipeline.evaluation.measures.records import ADAPTED, pretrained_method
from slimp_pipeline.reporting.findings.audits import (
    fields_read_table,
    known_truth_table,
    missingness_table,
    retrieval_table,
    subgroup_tables,
)
from slimp_pipeline.reporting.findings.learnt import learnt_of_run
from slimp_pipeline.reporting.findings.rows import lineage_lines, row_tables
from slimp_pipeline.reporting.findings.tables import differences_tables, headline, results_tables
from slimp_pipeline.reporting.labels import METHOD_NAMES, UNLABELLED, method_name
from slimp_pipeline.reporting.pages.explained import Explained, explained_sections
from slimp_pipeline.reporting.pages.shell import embedded, render_template
from slimp_pipeline.reporting.pages.size import held_below
from slimp_pipeline.tables.settle import RULE
from slimp_pipeline.tables.splits import patients_torn_apart


@dataclass(frozen=True)
class Role:
    """One cohort in its role."""

    role: str
    manifest: dict[str, Any]
    splits: pd.DataFrame
    duplicates: pd.DataFrame
    conflicts: pd.DataFrame
    lesion_conflicts: pd.DataFrame


@dataclass(frozen=True)
class Trained:
    """What was pre-trained, and what the results rest on.

    Attributes:
        training_rows: partition, image_id, patient_id of every pre-training.
        history: Of the pre-training.
        evaluation_lineage: As `evaluation.audits.lineage` notes it.
    """

    training_rows: pd.DataFrame
    history: pd.DataFrame
    evaluation_lineage: Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """What was measured on the target."""

    results: pd.DataFrame
    differences: pd.DataFrame
    fields_read: pd.DataFrame
    missingness: pd.DataFrame
    subgroups: pd.DataFrame
    known_truth: pd.DataFrame
    seen_pictures: pd.DataFrame
    row_counts: pd.DataFrame


@dataclass(frozen=True)
class Pictures:
    """Groups of pictures that stand together, as `reporting.pictures` draws them; none where they may not be shown."""

    gallery: list[Any]
    patient_view: list[Any]
    pair_gallery: list[Any]
    saliency_pictures: list[Any]


def render_page(
    roles: list[Role],
    trained: Trained,
    measured: Measured,
    explained: Explained,
    figures: dict[str, go.Figure],
    pictures: Pictures,
    *,
    confidence: float,
    max_page_mb: float,
    leaks: bool = False,
) -> str:
    """Render the page.

    Args:
        roles: Source and target.
        trained: The pre-training.
        measured: Tables of what was measured.
        explained: What predictions rest on.
        figures: By name.
        pictures: Of lesions.
        confidence: Of the intervals.
        max_page_mb: Size that the page doesn't exceed, in 10^6 bytes: pictures are left out, see `pages.size`.
        leaks: Whether the split lets patients stand on both sides, to show what that adds.

    Returns:
        HTML; scripts, styles and pictures inline, so that opening it sends no request.
    """
    checks = {role.role: _checks(role) for role in roles}
    leaks = leaks or checks[roles[-1].role]["patients_in_several_folds"] > 0
    manifests = {role.role: role.manifest for role in roles}
    values = explained_sections(explained, measured.subgroups, measured.results)
    values |= _measured_values(measured, leaks=leaks) | {
        "sentence": learnt_of_run(measured.results, measured.differences, explained.controls, leaks=leaks),
        "roles": [vars(role) | {"checks": checks[role.role], "diagnoses": _diagnoses(role)} for role in roles],
        "source": roles[0].manifest,
        "target": roles[-1].manifest,
        "qualified": _qualified(measured.results, roles[-1].manifest["cohort"]),
        "is_crossfit": roles[-1].manifest["cohort"] in names_of(roles[0].manifest["cohort"]),
        "is_one_cohort": roles[-1].manifest["cohort"] == roles[0].manifest["cohort"],
        "conflict_rule": RULE,
        "pretraining": _pretraining(trained.training_rows, trained.history),
        "health": _health(trained.history),
        "level": f"{100 * confidence:g}",
        "figures": {name: embedded(figure) for name, figure in figures.items() if figure.data},
        "row_counts": row_tables(measured.row_counts, {role.role: role.manifest["title"] for role in roles}),
        "lineage": lineage_lines(trained.evaluation_lineage, manifests),
        "max_page_mb": f"{max_page_mb:g}",
    }

    def render(shown: dict[str, list[Any]], left_out: dict[str, int]) -> str:
        return render_template("report.html", **values, **shown, left_out=left_out)

    sections = {
        "gallery": pictures.gallery,
        "pairs": pictures.pair_gallery,
        "patients": pictures.patient_view,
        "saliency": pictures.saliency_pictures,
    }
    return held_below(max_page_mb, sections, render, "report.html")


def _qualified(results: pd.DataFrame, cohort: str) -> str:
    """What results add to a cohort's name: how it was split, whose scores they are, that they are a control."""
    name = str(results["cohort"].iloc[0]) if len(results) else ""
    return name.removeprefix(cohort).strip() if name.startswith(f"{cohort} (") else ""


def _measured_values(measured: Measured, *, leaks: bool) -> dict[str, Any]:
    fused = set(measured.results.loc[measured.results["features"].str.startswith("image+"), "method"])
    return {
        "leaks": leaks,
        "method": method_name(pretrained_method(measured.results["method"])),
        "has_adapted": measured.results["method"].str.endswith(ADAPTED).any(),
        "untrained": [METHOD_NAMES[name] for name in STARTS if name in fused],
        "headline": headline(measured.results, measured.differences),
        "results": results_tables(measured.results),
        "differences": differences_tables(measured.differences),
        "num_comparisons": len(measured.differences),
        "retrieval": retrieval_table(measured.results),
        "fields_read": fields_read_table(measured.fields_read),
        "missingness": missingness_table(measured.missingness),
        "subgroups": subgroup_tables(measured.subgroups),
        "known_truth": known_truth_table(measured.known_truth),
        "seen": measured.seen_pictures.groupby("kind")["image_id"].nunique().to_dict(),
    }


def _health(history: pd.DataFrame) -> pd.DataFrame:
    last = history.pivot_table(index="partition", columns="name", values="value", aggfunc="last", sort=False)
    return last.filter(regex="^validation_|_(effective_rank|uniformity|alignment)$")


def _diagnoses(role: Role) -> dict[str, int]:
    """Rows per diagnosis; in a manifest, rows without one stand under the text of the missing value."""
    counts = role.manifest["diagnoses"]
    return {UNLABELLED if name in ("nan", "None", "<NA>") else name: count for name, count in counts.items()}


def _checks(role: Role) -> dict[str, Any]:
    splits, duplicates = role.splits, role.duplicates
    folds = sorted(set(splits["fold"]), key=lambda fold: (fold < 0, fold))  # the hold-out last
    return {
        "patients_in_several_folds": len(patients_torn_apart(splits)),
        "folds": [
            {
                "fold": fold if fold >= 0 else "hold-out",
                "images": int((splits["fold"] == fold).sum()),
                "patients": splits.loc[splits["fold"] == fold, "patient_id"].nunique(),
            }
            for fold in folds
        ],
        "same_bytes": int((duplicates["kind"] == "same bytes").sum()),
        "near": int((duplicates["kind"] == "near").sum()),
        "across": int(duplicates["across_folds"].sum()),
        "conflicts": {
            owners: table.groupby("field").size().to_dict()
            for owners, table in (("Patients", role.conflicts), ("Lesions", role.lesion_conflicts))
            if len(table)
        },
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
