"""Result tables as the page shows them: numbers as text, grouped by feature set, methods in one order."""

from typing import Any

import pandas as pd

from slimp_pipeline.evaluation.records import summary_draw
from slimp_pipeline.reporting.labels import METRIC_NAMES, PROTOCOL_NAMES, in_order, method_name
from slimp_pipeline.tables.splits import HOLDOUT

_COMPARED = ("balanced_accuracy", "macro_auroc", "malignant_auroc", "pauc_above_80_tpr")


def results_tables(results: pd.DataFrame) -> list[dict[str, Any]]:
    """One table per protocol: the mean over folds; below, where there is one, the hold-out.

    Returns:
        title, metrics, and groups of features with lines of method and cells of value and range.
    """
    tables = []
    shown = results[results["draw"].isin(["all", HOLDOUT]) & results["metric"].isin(list(METRIC_NAMES))]
    for (draw, protocol), rows in shown.sort_values("draw", kind="stable").groupby(["draw", "protocol"], sort=False):
        title = PROTOCOL_NAMES.get(protocol, protocol)
        table = _grouped(rows, "method", "value", "{:.3f}")
        tables.append({"title": f"{title}, hold-out" if draw == HOLDOUT else title, **table})
    return tables


def differences_table(differences: pd.DataFrame) -> dict[str, Any]:
    """Differences of SLIMP to the other methods, on linear probes.

    Returns:
        metrics, groups as in `results_tables`, and num_comparisons.
    """
    shown = differences[differences["metric"].isin(_COMPARED) & (differences["protocol"] == "linear_probe")]
    num_comparisons = int(differences["num_comparisons"].max()) if len(differences) else 0
    return _grouped(shown, "reference", "difference", "{:+.3f}") | {"num_comparisons": num_comparisons}


def headline(results: pd.DataFrame, differences: pd.DataFrame, metric: str = "balanced_accuracy") -> dict[str, Any]:
    """Image features and the metadata baseline, and what SLIMP adds on image features."""
    draw = summary_draw(results)
    chosen = results[(results["metric"] == metric) & (results["draw"] == draw)]
    probes = (chosen["features"] == "image") & (chosen["protocol"] == "linear_probe")
    chosen = chosen[probes | (chosen["protocol"] == "baseline")]
    paired = differences[
        (differences["metric"] == metric)
        & (differences["features"] == "image")
        & (differences["protocol"] == "linear_probe")
    ]
    return {
        "metric": METRIC_NAMES[metric],
        "draw": draw,
        "results": _lines(chosen, "method", "value", "{:.3f}"),
        "differences": _lines(paired, "reference", "difference", "{:+.3f}"),
    }


def _lines(rows: pd.DataFrame, method: str, value: str, form: str) -> list[dict[str, str]]:
    by_method = rows.set_index(method)
    return [
        {"method": method_name(name), "features": by_method.loc[name, "features"]}
        | _cell(by_method.loc[name], value, form)
        for name in in_order(rows[method])
    ]


def _grouped(rows: pd.DataFrame, method: str, value: str, form: str) -> dict[str, Any]:
    metrics = [metric for metric in METRIC_NAMES if metric in set(rows["metric"])]
    groups = []
    for features, group in rows.groupby("features", sort=False):
        cells = group.set_index([method, "metric"])
        lines = [
            {
                "method": method_name(name),
                "cells": [_cell(cells.loc[(name, metric)], value, form) for metric in metrics],
            }
            for name in in_order(group[method])
        ]
        groups.append({"features": features.replace("+", " + "), "lines": lines})
    return {"metrics": [METRIC_NAMES[metric] for metric in metrics], "groups": groups}


def _cell(row: pd.Series, value: str, form: str) -> dict[str, str]:
    if pd.isna(row[value]):
        return {"value": "not measurable", "range": "", "verdict": ""}
    low, high = row["ci_low"], row["ci_high"]
    noise = not (low > 0 or high < 0)
    return {
        "value": form.format(row[value]),
        "range": f"[{form.format(low)}, {form.format(high)}]",
        "verdict": "within noise" if noise else ("better" if row[value] > 0 else "worse"),
    }
