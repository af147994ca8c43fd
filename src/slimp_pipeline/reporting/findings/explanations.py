"""What predictions rest on, as the page says it: fields, controls, the worst group, leaks."""

from typing import Any

import pandas as pd

from slimp_pipeline.evaluation.audits.controls import FUSED, IMAGE, LABELS, SHUFFLED
from slimp_pipeline.evaluation.audits.field_reading import READ
from slimp_pipeline.evaluation.measures.records import pretrained_method, summary_draw
from slimp_pipeline.reporting.labels import METRIC_NAMES, features_name, in_order, method_name

HEADLINE = "balanced_accuracy"
_GROUP_METRICS = ("malignant_auroc", "macro_auroc", "balanced_accuracy")  # the first that was measured


def importance_tables(importance: pd.DataFrame) -> list[dict[str, Any]]:
    """Importance of fields by method, the most important first.

    Returns:
        method, features, metrics, intact (text by metric), telling (names of fields whose headline metric drops outside
        noise), and lines of field, level and cells of value and range.
    """
    tables = []
    for method in in_order(importance["method"]):
        own = importance[importance["method"] == method]
        metrics = list(dict.fromkeys(own["metric"]))
        cells = own.set_index(["field", "metric"])
        ranked = own[own["metric"] == HEADLINE].sort_values("drop", ascending=False, kind="stable")
        tables.append(
            {
                "method": method_name(method),
                "features": features_name(str(own["features"].iloc[0])),
                "metrics": [METRIC_NAMES[metric] for metric in metrics],
                "intact": [f"{own.loc[own['metric'] == metric, 'intact'].iloc[0]:.3f}" for metric in metrics],
                "telling": list(ranked.loc[ranked["ci_low"] > 0, "field"]),
                "num_draws": int(own["num_draws"].iloc[0]),
                "lines": [
                    {
                        "field": row.field,
                        "level": row.level,
                        "cells": [_signed(cells, (row.field, metric), "drop") for metric in metrics],
                    }
                    for row in ranked.itertuples()
                ],
            }
        )
    return tables


def control_tables(controls: pd.DataFrame) -> list[dict[str, Any]]:
    """What metadata add, and what strangers' metadata add, by method that reads any.

    Returns:
        method, features, metrics, num_draws, verdict (text), is_gain, and lines of what is compared and cells.
    """
    tables, of_metadata = [], controls[controls["compared"] != LABELS]
    for method in in_order(of_metadata["method"]):
        own = of_metadata[of_metadata["method"] == method]
        metrics = list(dict.fromkeys(own["metric"]))
        cells = own.set_index(["compared", "reference", "metric"])
        verdict, is_gain = _verdict(cells)
        pairs = own[["compared", "reference"]].drop_duplicates().itertuples(index=False)
        tables.append(
            {
                "method": method_name(method),
                "features": features_name(str(own["features"].iloc[0])),
                "metrics": [METRIC_NAMES[metric] for metric in metrics],
                "num_draws": int(own["num_draws"].iloc[0]),
                "verdict": verdict,
                "is_gain": is_gain,
                "lines": [
                    {
                        "compared": f"{compared} minus {reference}",
                        "cells": [_signed(cells, (compared, reference, metric), "difference") for metric in metrics],
                    }
                    for compared, reference in pairs
                ],
            }
        )
    return tables


def reading_tables(field_reading: pd.DataFrame) -> list[dict[str, Any]]:
    """How well fields are read from images, and what they add, by method; the best read first.

    Returns:
        method, questions (texts), and lines of field, level and cells.
    """
    tables = []
    for method in in_order(field_reading["method"]):
        own = field_reading[field_reading["method"] == method]
        asked = list(
            own[["question", "metric"]].drop_duplicates().sort_values("question", ascending=False).itertuples()
        )
        cells = own.set_index(["field", "question", "metric"])
        read = own[own["question"] == READ].set_index("field")["value"]
        fields = own.drop_duplicates("field").set_index("field")["level"]
        ranked = read.reindex(fields.index).sort_values(ascending=False, kind="stable").index  # those not read last
        tables.append(
            {
                "method": method_name(method),
                "questions": [f"{one.question}: {METRIC_NAMES[one.metric]}" for one in asked],
                "lines": [
                    {
                        "field": name,
                        "level": fields[name],
                        "cells": [
                            _signed(
                                cells, (name, one.question, one.metric), "value", "" if one.question == READ else "+"
                            )
                            for one in asked
                        ],
                    }
                    for name in ranked
                ],
            }
        )
    return tables


def shuffled_labels(controls: pd.DataFrame) -> list[str]:
    """What the image probe of each method came to that was taught shuffled labels, in a sentence each."""
    taught = controls[(controls["compared"] == LABELS) & (controls["metric"] == "macro_auroc")]
    return [
        f"{method_name(row['method'])}, taught shuffled labels: {METRIC_NAMES['macro_auroc']} "
        f"{_value_and_range(row, 'difference')} from chance."
        for _, row in taught.iterrows()
    ]


def _verdict(cells: pd.DataFrame) -> tuple[str, bool]:
    """What the headline metric says, in a sentence, and whether metadata are a gain."""
    gain, left, owed = (
        cells.loc[(compared, reference, HEADLINE)]
        for compared, reference in ((FUSED, IMAGE), (SHUFFLED, IMAGE), (FUSED, SHUFFLED))
    )
    name, added = METRIC_NAMES[HEADLINE], _value_and_range(gain, "difference")
    if gain["ci_high"] < 0:
        taken = f"{-gain['difference']:.3f} [{-gain['ci_high']:.3f}, {-gain['ci_low']:.3f}]"
        return f"No gain: metadata take {taken} from the images' {name}.", False
    if gain["ci_low"] <= 0:
        return (
            f"Metadata add {added} to the images' {name}: no gain outside noise, so nothing is to be explained.",
            False,
        )
    if owed["ci_low"] <= 0:
        return (
            f"No gain: metadata add {added} to the images' {name}, and shuffled between patients they add as much, "
            f"within noise ({_value_and_range(left, 'difference')}).",
            False,
        )
    if left["ci_low"] > 0:
        return (
            f"Metadata add {added} to the images' {name}, but strangers' metadata add "
            f"{_value_and_range(left, 'difference')}: only {_value_and_range(owed, 'difference')} is owed to the "
            "patients' own.",
            True,
        )
    return (
        f"Metadata add {added} to the images' {name}. Shuffled between patients nothing outside noise is left "
        f"({_value_and_range(left, 'difference')}): the gain is owed to the patients' own metadata.",
        True,
    )


def worst_group(subgroups: pd.DataFrame, results: pd.DataFrame) -> dict[str, Any] | None:
    """The group of patients on whom the pre-trained image probe does worst.

    Returns:
        method, metric, overall (value and range), num_groups, too_small (names and sizes), and of the worst field,
        group, cell and num_patients; these are None where no group could be measured. None where there are no groups.
    """
    if subgroups.empty:
        return None
    method = pretrained_method(subgroups["method"])
    own = subgroups[(subgroups["method"] == method) & (subgroups["features"] == "image")]
    small = own[own["too_small"]].drop_duplicates(["field", "group"])
    metric = next((name for name in _GROUP_METRICS if name in set(own["metric"])), None)
    found: dict[str, Any] = {
        "method": method_name(method),
        "too_small": [f"{_spoken(row.field)} {row.group} ({row.num_patients})" for row in small.itertuples()],
        "worst": None,
    }
    if metric is None:
        return found
    measured = own[(own["metric"] == metric) & own["value"].notna()]
    worst = measured.loc[measured["value"].idxmin()]
    overall = results[
        (results["method"] == method)
        & (results["features"] == "image")
        & (results["protocol"] == "linear_probe")
        & (results["metric"] == metric)
        & (results["draw"] == summary_draw(results))
    ]
    return found | {
        "metric": METRIC_NAMES[metric],
        "num_groups": len(measured),
        "overall": _value_and_range(overall.iloc[0], "value", "") if len(overall) else "",
        "worst": {
            "field": _spoken(worst["field"]),
            "group": worst["group"],
            "measured": _value_and_range(worst, "value", ""),
            "num_patients": int(worst["num_patients"]),
        },
    }


def leak_lines(leaks: pd.DataFrame) -> list[dict[str, Any]]:
    """Checks for leaks: check, found and looked_at as text, and whether it is clean."""
    return [
        {
            "check": row.check,
            "found": f"{row.found:,}",
            "looked_at": f"{row.looked_at:,} {row.what_is_counted}",
            "is_clean": row.found == 0,
        }
        for row in leaks.itertuples()
    ]


def saliency_summary(saliency: pd.DataFrame) -> dict[str, Any] | None:
    """Method, mean rank correlation with maps of random weights, and how much of the scores the maps add up to."""
    known = saliency["rank_correlation"].dropna()
    if known.empty:
        return None
    return {
        "method": method_name(str(saliency["method"].iloc[0])),
        "correlation": f"{known.mean():.2f}",
        "passes": bool(known.mean() < 0.5),
        "explained": f"{saliency['explained_share'].median():.0%}",
    }


def _signed(cells: pd.DataFrame, place: Any, value: str, sign: str = "+") -> dict[str, str] | None:
    if place not in cells.index:
        return None
    row = cells.loc[place]
    return {"value": f"{row[value]:{sign}.3f}", "range": f"[{row['ci_low']:{sign}.3f}, {row['ci_high']:{sign}.3f}]"}


def _value_and_range(row: pd.Series, value: str, sign: str = "+") -> str:
    return f"{row[value]:{sign}.3f} [{row['ci_low']:{sign}.3f}, {row['ci_high']:{sign}.3f}]"


def _spoken(field: str) -> str:
    return str(field).replace("_years", ", years").replace("_", " ")
