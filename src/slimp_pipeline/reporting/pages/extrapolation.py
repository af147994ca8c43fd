"""The extrapolation page: is borrowed metadata true, and what is it worth?"""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from slimp_pipeline.evaluation.measures.records import EXTRAPOLATED, summary_draw
from slimp_pipeline.reporting.figures.layout import laid_out
from slimp_pipeline.reporting.findings.learnt import learnt_of_borrowing, quality_of_most
from slimp_pipeline.reporting.labels import COLOURS, METRIC_NAMES, verdict
from slimp_pipeline.reporting.pages.shell import embedded, render_template
from slimp_pipeline.reporting.pictures.cases import compared_columns, text_of
from slimp_pipeline.reporting.text import figure_text

_MEASURES = {
    "accuracy": "accuracy",
    "kappa": "Cohen's kappa",
    "mean_absolute_error": "mean absolute error",
    "spearman": "rank correlation",
}
_COMPARED = ("balanced_accuracy", "macro_auroc", "malignant_auroc")


def render_extrapolation(
    source: str,
    target: str,
    target_rows: pd.DataFrame,
    confidence: float,
    pictures: dict[str, list[dict[str, Any]]] | None,
    *,
    borrowed: pd.DataFrame,
    quality: pd.DataFrame,
    other_fields: pd.DataFrame,
    cases: pd.DataFrame,
    results: pd.DataFrame,
    worth: pd.DataFrame,
) -> str:
    """Render the page.

    Args:
        source: Title of the reference cohort.
        target: Title of the target cohort.
        target_rows: Rows that borrowed.
        confidence: Of the intervals.
        pictures: Best and worst cases, where both licences let pictures be shown.
        borrowed: What `extrapolation.run.extrapolate` returns.
        quality: `quality.QUALITY_COLUMNS`.
        other_fields: field, reason.
        cases: Best and worst rows, with what they borrowed.
        results: Results of probes with and without borrowed metadata.
        worth: `extrapolation.run.WORTH_COLUMNS`.
    """
    figures = [_distance_figure(borrowed)]
    if len(quality):
        figures.append(_coverage_figure(quality))
    columns = compared_columns(cases, target_rows)
    of_most, of_rows = quality_of_most(quality)
    lines = _quality_lines(of_most)
    return render_template(
        "extrapolation.html",
        source=source,
        target=target,
        num_rows=len(target_rows),
        level=f"{100 * confidence:g}",
        sentence=learnt_of_borrowing(quality, worth),
        brief=_brief(lines, worth),
        quality=lines,
        of_rows=of_rows,
        others=[
            {"reason": reason, "fields": list(rows["field"])}
            for reason, rows in other_fields.groupby("reason", sort=False)
        ],
        figures=[embedded(figure) for figure in figures],
        worth=_worth(results, worth),
        pictures=pictures,
        cases=_case_lines(cases, target_rows, columns),
        case_fields=columns,
    )


def _quality_lines(of_most: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "field": row.field,
            "measure": _MEASURES[row.measure],
            "num_rows": row.num_rows,
            "value": "not defined" if pd.isna(row.value) else f"{row.value:.3f}",
            "range": "" if pd.isna(row.ci_low) else f"[{row.ci_low:.3f}, {row.ci_high:.3f}]",
            "chance": "" if pd.isna(row.chance) else f"{row.chance:.3f}",
            "shuffled": "" if pd.isna(row.shuffled) else f"{row.shuffled:.3f}",
            "beats": bool(row.beats_chance),
        }
        for row in of_most.itertuples()
    ]


def _brief(quality: list[dict[str, Any]], worth: pd.DataFrame) -> list[str]:
    lines = []
    for line in quality:
        if line["measure"] in ("accuracy", "mean absolute error"):
            found = "better than chance" if line["beats"] else "no better than chance"
            figure = f"{line['value']} {line['range']}".strip() + f", chance {line['chance'] or 'not known'}"
            lines.append(f"{line['field']}: {line['measure']} {figure}; {found}")
    for row in worth[worth["metric"] == _COMPARED[0]].dropna().itertuples():
        lines.append(
            f"borrowed metadata against {row.reference}: {row.difference:+.3f} [{row.ci_low:+.3f}, {row.ci_high:+.3f}] "
            f"in {METRIC_NAMES[row.metric]}, {verdict(row.ci_low, row.ci_high)}"
        )
    return lines


def _worth(results: pd.DataFrame, worth: pd.DataFrame) -> dict[str, Any]:
    metrics = [metric for metric in _COMPARED if metric in set(results["metric"])]
    shown = results[results["draw"].astype(str) == summary_draw(results)]
    lines = []
    for (method, features), rows in shown.groupby(["method", "features"], sort=False):
        own = "image and borrowed metadata" if str(method).endswith(EXTRAPOLATED) else "image and own metadata"
        title = "image alone" if features == "image" else own
        cells = rows.set_index("metric")
        lines.append({"title": title, "cells": [_cell(cells.loc[metric], "value", "{:.3f}") for metric in metrics]})
    for reference, rows in worth.groupby("reference", sort=False):
        cells = rows.set_index("metric")
        shown_cells = [_cell(cells.loc[metric], "difference", "{:+.3f}") for metric in metrics]
        lines.append({"title": f"borrowed metadata minus {reference}", "cells": shown_cells})
    return {"metrics": [METRIC_NAMES[metric] for metric in metrics], "lines": lines}


def _cell(row: pd.Series, value: str, form: str) -> dict[str, str]:
    if row[[value, "ci_low", "ci_high"]].isna().any():
        return {"value": "not measurable", "range": "", "verdict": ""}
    interval = f"[{form.format(row['ci_low'])}, {form.format(row['ci_high'])}]"
    said = verdict(row["ci_low"], row["ci_high"]) if value == "difference" else ""
    return {"value": form.format(row[value]), "range": interval, "verdict": said}


def _case_lines(cases: pd.DataFrame, target_rows: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    truth = target_rows.set_index("image_id")
    return [
        {
            "case": case["case"],
            "similarity": f"{case['similarity']:.3f}",
            "texts": [f"{text_of(case[name])} / {text_of(truth.loc[case['image_id'], name])}" for name in columns],
        }
        for case in cases.to_dict("records")
    ]


def _distance_figure(borrowed: pd.DataFrame) -> go.Figure:
    figure = go.Figure(go.Histogram(x=borrowed["similarity"], nbinsx=40, marker={"color": COLOURS[0]}))
    subtitle = "one count per target row" + (" and partition" if len(borrowed["partition"].unique()) > 1 else "")
    return laid_out(figure, "How near the nearest is", subtitle, "cosine similarity", "rows")


def _coverage_figure(quality: pd.DataFrame) -> go.Figure:
    """Agreement over chance where only the nearest share is trusted: 0 is chance, 1 perfect."""
    figure = go.Figure()
    shown = quality[quality["measure"].isin(["accuracy", "mean_absolute_error"])]
    for number, (field, rows) in enumerate(shown.groupby("field", sort=False)):
        perfect = 1.0 if rows["measure"].iloc[0] == "accuracy" else 0.0
        gain = (rows["value"] - rows["chance"]) / (perfect - rows["chance"])
        line = {"color": COLOURS[number % len(COLOURS)]}
        figure.add_scatter(x=100 * rows["coverage"], y=gain, mode="lines+markers", name=figure_text(field), line=line)
    figure.add_hline(y=0, line={"dash": "dot", "color": "#999999"})
    subtitle = "0: a random reference row; 1: always right"
    return laid_out(
        figure, "Trusting only the nearest", subtitle, "% of rows trusted, nearest first", "gain over chance"
    )
