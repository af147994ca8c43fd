"""The comparison page: methods over seeds, paired differences, critical-difference plots."""

from typing import Any

import pandas as pd

from slimp_pipeline.evaluation.audits.field_reading import READ
from slimp_pipeline.reporting.figures.critical_difference import critical_difference_figure
from slimp_pipeline.reporting.findings.audits import known_truth_table
from slimp_pipeline.reporting.findings.learnt import learnt_of_comparison
from slimp_pipeline.reporting.labels import (
    COMPARED,
    METRIC_NAMES,
    PROTOCOL_NAMES,
    features_name,
    in_order,
    method_name,
    verdict,
)
from slimp_pipeline.reporting.pages.shell import embedded, render_template

_NUM_SAID = 6  # differences named in brief; all stand in the tables


def render_comparison(
    cohort: str,
    values: pd.DataFrame,
    pairs: pd.DataFrame,
    truths: pd.DataFrame,
    readings: pd.DataFrame,
    confidence: float,
    *,
    leaks: bool = False,
) -> str:
    """Render the page.

    Args:
        cohort: Title of the target cohort.
        values: Table with `evaluation.compare.COMPARISON_COLUMNS`.
        pairs: Table with `evaluation.compare.PAIR_COLUMNS`.
        truths: Table with `evaluation.compare.TRUTH_COMPARISON_COLUMNS`, empty for a real cohort.
        readings: Table with `evaluation.compare.READING_COMPARISON_COLUMNS`, empty where no field was read.
        confidence: Of the intervals.
        leaks: Whether the split lets patients stand on both sides, to show what that adds.
    """
    metrics = [metric for metric in COMPARED if metric in set(values["metric"])]
    probes = values[values["protocol"] != "baseline"]
    sections = [
        _section(
            f"{PROTOCOL_NAMES.get(str(protocol), str(protocol)).capitalize()}, {features}", part, values, pairs, metrics
        )
        for (protocol, features), part in probes.groupby(["protocol", "features"], sort=False)
    ]
    runs = sorted(values["num_runs"].unique())
    return render_template(
        "comparison.html",
        cohort=cohort,
        num_runs=_runs(runs),
        several=runs[-1] > 1,
        level=f"{100 * confidence:g}",
        num_comparisons=len(pairs),
        sentence=learnt_of_comparison(values, pairs, leaks=leaks),
        leaks=leaks,
        brief=_brief(values, pairs, metrics[0]),
        sections=sections,
        truths=known_truth_table(truths, spread),
        readings=_readings(readings),
    )


def spread(row: pd.Series) -> dict[str, str]:
    """Mean over runs, and from the lowest to the highest of them."""
    several = f"{row['lowest']:.3f} to {row['highest']:.3f}" if row["num_runs"] > 1 else ""
    return {"value": f"{row['value']:.3f}", "range": several}


def _readings(readings: pd.DataFrame) -> dict[str, Any] | None:
    """How well each field is read from images, by method; fields in the order in which the first reads them best."""
    read = readings[readings["question"] == READ]
    if read.empty:
        return None
    methods, cells = in_order(read["method"]), read.set_index(["field", "method"])
    fields = read.groupby("field")["value"].max().sort_values(ascending=False).index
    level_of = read.drop_duplicates("field").set_index("field")["level"]
    lines = [
        {
            "field": field,
            "level": level_of[field],
            "cells": [spread(cells.loc[(field, name)]) if (field, name) in cells.index else None for name in methods],
        }
        for field in fields
    ]
    return {"methods": [method_name(name) for name in methods], "lines": lines}


def turned(pairs: pd.DataFrame) -> pd.DataFrame:
    """The same differences the other way round."""
    return pairs.assign(
        method=pairs["reference"],
        reference=pairs["method"],
        difference=-pairs["difference"],
        ci_low=-pairs["ci_high"],
        ci_high=-pairs["ci_low"],
    )


def _section(
    title: str, part: pd.DataFrame, values: pd.DataFrame, pairs: pd.DataFrame, metrics: list[str]
) -> dict[str, Any]:
    has_baselines = part["protocol"].iloc[0] == "linear_probe"
    baselines = values[values["protocol"] == "baseline"] if has_baselines else values.iloc[:0]
    shown = pd.concat([part, baselines])
    own = pairs.merge(shown[["features", "protocol"]].drop_duplicates())  # a pair's are those of its method
    first = shown[shown["metric"] == metrics[0]].sort_values("value", ascending=False)
    figures = [
        critical_difference_figure(shown[shown["metric"] == metric], own[own["metric"] == metric], METRIC_NAMES[metric])
        for metric in metrics[:2]
    ]
    cells = shown.set_index(["method", "metric"])
    return {
        "title": features_name(title),
        "metrics": [METRIC_NAMES[metric] for metric in metrics],
        "compared": METRIC_NAMES[metrics[0]],
        "figures": [embedded(figure) for figure in figures],
        "lines": [
            {
                "method": method_name(row.method),
                "num_runs": row.num_runs,
                "cells": [_cell(cells.loc[(row.method, metric)], "value", "{:.3f}") for metric in metrics],
            }
            for row in first.itertuples()
        ],
        "columns": [method_name(name) for name in first["method"]],
        "differences": _differences(list(first["method"]), own[own["metric"] == metrics[0]]),
    }


def _differences(methods: list[str], pairs: pd.DataFrame) -> list[dict[str, Any]]:
    """A square of differences; a pair is held once, and turned round for the other half."""
    both = pd.concat([pairs, turned(pairs)])
    known = {(row.method, row.reference): row._asdict() for row in both.itertuples(index=False)}
    return [
        {
            "method": method_name(one),
            "cells": [
                _cell(known[one, other], "difference", "{:+.3f}") if (one, other) in known else None
                for other in methods
            ],
        }
        for one in methods
    ]


def _cell(row: Any, value: str, form: str) -> dict[str, str]:
    if any(pd.isna(row[name]) for name in (value, "ci_low", "ci_high")):
        return {"value": "not measurable", "range": "", "verdict": "", "sd": ""}
    sd = row.get("sd_between_runs")
    return {
        "value": form.format(row[value]),
        "range": f"[{form.format(row['ci_low'])}, {form.format(row['ci_high'])}]",
        "verdict": "" if value == "value" else verdict(row["ci_low"], row["ci_high"]),
        "sd": "" if sd is None or pd.isna(sd) else f"{sd:.3f}",
    }


def _brief(values: pd.DataFrame, pairs: pd.DataFrame, metric: str) -> dict[str, Any]:
    chosen = values[
        (values["metric"] == metric) & (values["features"] == "image") & (values["protocol"] == "linear_probe")
    ].sort_values("value", ascending=False)
    lines = [
        f"{method_name(row.method)}: {row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}]"
        for row in chosen.itertuples()
    ]
    own = pairs[
        (pairs["metric"] == metric)
        & (pairs["features"] == "image")
        & (pairs["protocol"] == "linear_probe")
        & pairs["reference"].isin(chosen["method"])
    ].dropna(subset=["difference", "ci_low", "ci_high"])
    outside = own[~own["within_noise"].astype(bool)].sort_values("difference", key=abs, ascending=False, kind="stable")
    lines += [_said(row) for row in outside.iloc[:_NUM_SAID].itertuples()]
    if len(outside) > _NUM_SAID:
        lines.append(f"{len(outside) - _NUM_SAID} smaller differences are outside noise too: see the table.")
    if len(own):
        lines.append(f"{len(own) - len(outside)} of {len(own)} differences between these are within noise.")
    return {"metric": METRIC_NAMES[metric], "features": "image", "lines": lines}


def _runs(counts: list[int]) -> str:
    if len(counts) > 1:
        return f"{counts[0]} to {counts[-1]} runs of a method"
    return f"{counts[0]} runs of every method" if counts[0] > 1 else "One run of every method"


def _said(row: Any) -> str:
    better, worse = (row.method, row.reference) if row.difference > 0 else (row.reference, row.method)
    low, high = sorted((abs(row.ci_low), abs(row.ci_high)))
    names = f"{method_name(better)} over {method_name(worse)}"
    return f"{names}: +{abs(row.difference):.3f} [+{low:.3f}, +{high:.3f}], outside noise"
