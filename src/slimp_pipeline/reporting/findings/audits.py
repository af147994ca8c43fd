"""Tables of retrieval, of what missing fields tell, and of subgroups, as the page shows them."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from slimp_pipeline.evaluation.audits.missingness import WARNING_AUROC
from slimp_pipeline.evaluation.measures.records import pretrained_method, summary_draw
from slimp_pipeline.reporting.labels import METRIC_NAMES, in_order, method_name

_SIDES = {"picture": "picture fields", "lesion": "lesion fields", "patient": "patient fields"}  # of a retrieval


def retrieval_table(results: pd.DataFrame) -> list[dict[str, Any]]:
    """Retrieval by what is looked up, every method beside chance.

    Returns:
        One table for each: title, metrics, and a group of lines of method and cells of value and range; None where
        nothing was measured.
    """
    chosen = results[results["protocol"] == "retrieval"]
    if chosen.empty:
        return []
    chosen = chosen[chosen["draw"] == summary_draw(chosen)].dropna(subset="value")
    tables = []
    for features, rows in chosen.groupby("features", sort=False):
        metrics = list(dict.fromkeys(rows["metric"]))
        cells = rows.set_index(["method", "metric"])
        lines = [
            {"method": method_name(name), "cells": [_known(cells, (name, metric)) for metric in metrics]}
            for name in in_order(rows["method"])
        ]
        sides = str(features).split(" to ") if " to " in features else ["image", "images of its diagnosis"]
        title = " to ".join(_SIDES.get(side, side) for side in sides)
        spoken = [_spoken(metric) for metric in metrics]
        tables.append({"title": title, "metrics": spoken, "groups": [{"lines": lines}]})
    return tables


def fields_read_table(table: pd.DataFrame) -> dict[str, Any] | None:
    """What the source's encoders read of the target's metadata; None where that is everything, without a doubt.

    Returns:
        total, the names of the fields that are read, and of the doubtful ones field and doubt.
    """
    doubtful = table[table["doubt"] != ""]
    if table["read"].all() and doubtful.empty:
        return None
    return {
        "total": len(table),
        "names": list(table.loc[table["read"], "field"]),
        "doubtful": [{"field": row.field, "doubt": row.doubt} for row in doubtful.itertuples()],
    }


def missingness_table(missingness: pd.DataFrame) -> dict[str, Any]:
    """What "is missing" alone tells of the label; fields that are never missing are left out.

    Returns:
        lines; the names of the fields that warn (warned); of those that can't be cleared, since their interval reaches
        beyond the bound or couldn't be measured (unclear); the bound; and whether anything could be measured.
    """
    shown = missingness[missingness["missing_share"] > 0].sort_values("auroc", ascending=False, kind="stable")
    lines = [
        {
            "field": row.field,
            "level": row.level,
            "missing": f"{row.missing_share:.1%}",
            "malignant": "" if pd.isna(row.missing_share_malignant) else f"{row.missing_share_malignant:.1%}",
            "benign": "" if pd.isna(row.missing_share_benign) else f"{row.missing_share_benign:.1%}",
            "auroc": _interval(row.auroc, row.ci_low, row.ci_high),
            "warning": bool(row.warning),
        }
        for row in shown.itertuples()
    ]
    return {
        "lines": lines,
        "warned": list(shown.loc[shown["warning"].astype(bool), "field"]),
        "unclear": list(shown.loc[~shown["warning"].astype(bool) & ~(shown["ci_high"] <= WARNING_AUROC), "field"]),
        "bound": WARNING_AUROC,
        "measured": len(missingness) > 0,
    }


def subgroup_tables(subgroups: pd.DataFrame) -> list[dict[str, Any]]:
    """Subgroups by field, for the pre-trained method on images; small groups are named, without figures."""
    if subgroups.empty:
        return []
    method = pretrained_method(subgroups["method"])
    shown = subgroups[(subgroups["method"] == method) & (subgroups["features"] == "image")]
    metrics = [name for name in METRIC_NAMES if name in set(shown["metric"])]
    tables = []
    for field, rows in shown.groupby("field", sort=False):
        lines = []
        for group, own in rows.groupby("group", sort=False):
            cells = own.set_index("metric")
            lines.append(
                {
                    "group": group,
                    "num_patients": int(own["num_patients"].iloc[0]),
                    "num_images": int(own["num_images"].iloc[0]),
                    "too_small": bool(own["too_small"].iloc[0]),
                    "cells": [_known(cells, name) for name in metrics],
                }
            )
        tables.append(
            {
                "field": str(field).replace("_years", ", years").replace("_", " "),
                "method": method_name(method),
                "metrics": [METRIC_NAMES[name] for name in metrics],
                "lines": lines,
            }
        )
    return tables


def known_truth_table(
    known_truth: pd.DataFrame, cell: Callable[[pd.Series], dict[str, str]] | None = None
) -> dict[str, Any] | None:
    """What of a fabricated cohort's causes is found, by method; None for a real cohort.

    Args:
        known_truth: question, measure, chance, method, and what `cell` reads.
        cell: Value and range of a row; by default the value and its interval.
    """
    if known_truth.empty:
        return None
    methods = in_order(known_truth["method"])
    lines = []
    for (question, measure), rows in known_truth.groupby(["question", "measure"], sort=False):
        cells = rows.set_index("method")
        lines.append(
            {
                "question": question,
                "measure": measure,
                "chance": f"{rows['chance'].iloc[0]:g}",
                "cells": [_known(cells, name, cell) for name in methods],
            }
        )
    return {"methods": [method_name(name) for name in methods], "lines": lines}


def _known(
    cells: pd.DataFrame, place: Any, cell: Callable[[pd.Series], dict[str, str]] | None = None
) -> dict[str, str] | None:
    return (cell or _estimate)(cells.loc[place]) if place in cells.index else None


def _estimate(row: pd.Series) -> dict[str, str]:
    return _interval(row["value"], row["ci_low"], row["ci_high"])


def _interval(value: float, low: float, high: float) -> dict[str, str]:
    if pd.isna(value):
        return {"value": "not measurable", "range": ""}
    return {"value": f"{value:.3f}", "range": f"[{low:.3f}, {high:.3f}]"}


def _spoken(metric: str) -> str:
    return metric.replace("_at_", " @\N{NO-BREAK SPACE}").replace("_", " ")
