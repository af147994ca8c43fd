"""Result tables as the page shows them: numbers as text, grouped by feature set, methods in one order."""

from typing import Any

import pandas as pd

from slimp_pipeline.evaluation.measures.records import leading_differences, summary_draw
from slimp_pipeline.reporting.labels import (
    COMPARED,
    METRIC_NAMES,
    PROTOCOL_NAMES,
    features_name,
    in_order,
    method_name,
    verdict,
)
from slimp_pipeline.tables.splits import HOLDOUT


def results_tables(results: pd.DataFrame) -> list[dict[str, Any]]:
    """One table per protocol: the mean over folds; below, where there is one, the hold-out.

    Returns:
        title, metrics, and groups of features with lines of method and cells of value and range.
    """
    tables = []
    shown = results[results["draw"].isin(["all", HOLDOUT]) & results["metric"].isin(list(METRIC_NAMES))]
    shown = shown[shown["shots"] == "all"]
    for (draw, protocol), rows in shown.sort_values("draw", kind="stable").groupby(["draw", "protocol"], sort=False):
        title = PROTOCOL_NAMES.get(protocol, protocol)
        table = _grouped(rows, "method", "value", "{:.3f}")
        tables.append({"title": f"{title}, hold-out" if draw == HOLDOUT else title, **table})
    return tables


def differences_tables(differences: pd.DataFrame) -> list[dict[str, Any]]:
    """Differences of each pre-trained method to the other methods, on linear probes.

    Returns:
        One table per method: method, metrics, and groups as in `results_tables`.
    """
    shown = differences[differences["metric"].isin(COMPARED) & (differences["protocol"] == "linear_probe")]
    return [
        {"method": method_name(str(method)), **_grouped(rows, "reference", "difference", "{:+.3f}")}
        for method, rows in shown.groupby("method", sort=False)
    ]


def headline(results: pd.DataFrame, differences: pd.DataFrame, metric: str = "balanced_accuracy") -> dict[str, Any]:
    """Image features and the baselines, and what pre-training adds on image features."""
    draw = summary_draw(results)
    chosen = results[(results["metric"] == metric) & (results["draw"] == draw)]
    probes = (chosen["features"] == "image") & (chosen["protocol"] == "linear_probe")
    chosen = chosen[probes | (chosen["protocol"] == "baseline")]
    paired = leading_differences(differences, metric)
    return {
        "metric": METRIC_NAMES[metric],
        "draw": draw,
        "results": [
            {"method": method_name(row["method"]), "features": row["features"]} | _cell(row, "value", "{:.3f}")
            for _, row in _sorted(chosen, "method").iterrows()
        ],
        "differences": [
            {"method": method_name(row["method"]), "reference": method_name(row["reference"])}
            | _cell(row, "difference", "{:+.3f}")
            for _, row in _sorted(paired, "reference").iterrows()
        ],
    }


def _sorted(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    return rows.sort_values(method, key=lambda names: names.map(in_order(names).index), kind="stable")


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
        groups.append({"features": features_name(str(features)), "lines": lines})
    return {"metrics": [METRIC_NAMES[metric] for metric in metrics], "groups": groups}


def _cell(row: pd.Series, value: str, form: str) -> dict[str, str]:
    if pd.isna(row[value]):
        return {"value": "not measurable", "range": "", "verdict": ""}
    low, high = row["ci_low"], row["ci_high"]
    said = verdict(low, high) if value == "difference" else ""
    if said == "outside noise":
        said = "better" if low > 0 else "worse"
    return {"value": form.format(row[value]), "range": f"[{form.format(low)}, {form.format(high)}]", "verdict": said}
