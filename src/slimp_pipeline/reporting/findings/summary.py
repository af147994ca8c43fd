"""What a run found, in a few lines for the console."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from slimp_pipeline.evaluation.measures.records import leading_differences, summary_draw
from slimp_pipeline.reporting.findings.learnt import (
    learnt_of_borrowing,
    learnt_of_comparison,
    learnt_of_pictures,
    learnt_of_run,
    quality_of_most,
)
from slimp_pipeline.reporting.labels import verdict
from slimp_pipeline.tables.splits import HOLDOUT


def summary_lines(
    results: pd.DataFrame,
    differences: pd.DataFrame,
    controls: pd.DataFrame,
    *,
    leaks: bool = False,
    metric: str = "balanced_accuracy",
) -> list[str]:
    """Say what was learnt, what the linear probe measured, and what SLIMP adds to the weights it started from.

    Args:
        results: The results table.
        differences: Paired differences of SLIMP to the other methods.
        controls: What metadata add, and strangers' metadata.
        leaks: Whether the split lets patients stand on both sides.
        metric: Which metric.

    Returns:
        What was learnt, and at most eight further lines of text.
    """
    draw = summary_draw(results)
    chosen = results[(results["metric"] == metric) & (results["draw"] == draw)]
    image = chosen[(chosen["features"] == "image") & (chosen["protocol"] == "linear_probe")]
    baseline = chosen[chosen["method"] == "metadata_linear"]
    name = metric.replace("_", " ")
    lines = [learnt_of_run(results, differences, controls, leaks=leaks, metric=metric)]
    where = "on the hold-out" if draw == HOLDOUT else "mean over folds"
    lines.append(f"{results['cohort'].iloc[0]}: {name} of a linear probe, {where} [interval]")
    for row in pd.concat([image, baseline]).itertuples():
        lines.append(f"  {row.method:<16} {row.features:<9} {row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}]")
    for row in leading_differences(differences, metric).itertuples():
        difference = f"{row.difference:+.3f} [{row.ci_low:+.3f}, {row.ci_high:+.3f}]"
        lines.append(f"  {row.method} - {row.reference}: {difference}, {verdict(row.ci_low, row.ci_high)}")
    return lines


def comparison_lines(
    values: pd.DataFrame, pairs: pd.DataFrame, *, leaks: bool = False, metric: str = "balanced_accuracy"
) -> list[str]:
    """What a comparison found on image features, in lines for the console.

    Args:
        values: Table with `COMPARISON_COLUMNS`.
        pairs: Table with `PAIR_COLUMNS`.
        leaks: Whether the split lets patients stand on both sides.
        metric: The one metric.
    """
    image = values[
        (values["metric"] == metric) & (values["features"] == "image") & (values["protocol"] == "linear_probe")
    ]
    lines = [learnt_of_comparison(values, pairs, leaks=leaks, metric=metric)]
    lines.append(f"{values['cohort'].iloc[0]}: {metric.replace('_', ' ')} of a linear probe on images, mean over runs")
    width = max(map(len, image["method"]), default=0)
    for row in image.sort_values("value", ascending=False).itertuples():
        runs = f"{row.num_runs} runs" if row.num_runs > 1 else "1 run"
        lines.append(f"  {row.method:<{width}} {row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}] {runs}")
    outside = pairs[~pairs["within_noise"] & (pairs["metric"] == metric)]
    total = int((pairs["metric"] == metric).sum())
    lines.append(f"  {len(outside)} of {total} paired differences in {metric.replace('_', ' ')} are outside noise")
    return lines


def extrapolation_lines(quality: pd.DataFrame, worth: pd.DataFrame, metric: str = "balanced_accuracy") -> list[str]:
    """How true borrowed metadata are, and what they are worth, in lines for the console.

    Args:
        quality: Table with `extrapolation.quality.QUALITY_COLUMNS`.
        worth: Table with `extrapolation.run.WORTH_COLUMNS`.
        metric: The one metric of the latter.
    """
    of_most, of_rows = quality_of_most(quality)
    against = " ".join(filter(None, ("Borrowed metadata against the truth", of_rows)))
    lines = [learnt_of_borrowing(quality, worth, metric), f"{against}:"]
    judged = of_most[of_most["measure"].isin(["accuracy", "mean_absolute_error"])]
    for row in judged.itertuples():
        found = "better than chance" if row.beats_chance else "no better than chance"
        measure = str(row.measure).replace("_", " ")
        lines.append(f"  {row.field:<16} {measure} {row.value:.3f}, chance {row.chance:.3f}: {found}")
    if judged.empty:
        lines.append("  no field can be compared: their quality isn't known")
    for row in worth[worth["metric"] == metric].itertuples():
        difference = f"{row.difference:+.3f} [{row.ci_low:+.3f}, {row.ci_high:+.3f}]"
        said = f"{metric.replace('_', ' ')}, {verdict(row.ci_low, row.ci_high)}"
        lines.append(f"  {row.compared} - {row.reference}: {difference} {said}")
    return lines


def suspects_lines(suspects: pd.DataFrame) -> list[str]:
    """What is suspicious about a cohort's pictures, in lines for the console.

    Args:
        suspects: Table with `quality.suspects.SUSPECT_COLUMNS`.
    """
    return [learnt_of_pictures(suspects)]


def search_lines(chosen: Mapping[str, Any]) -> list[str]:
    """What a search chose, in lines for the console.

    Args:
        chosen: As `search.outcome.chosen_settings` makes it.
    """
    metric, counts = chosen["search"]["metric"].replace("_", " "), chosen["trials"]
    trials = ", ".join(f"{count} {state}" for state, count in counts.items())
    measured = f"{metric} of a linear probe on {chosen['rows']['num_validation_patients']:,} inner validation patients"
    lines = [f"{chosen['cohort']}: trial {chosen['trial']} of {sum(counts.values())} is chosen ({trials})"]
    if chosen["measured_on"] != [chosen["cohort"]]:
        measured += f", mean of {', '.join(chosen['measured_on'])}"
    lines.append(f"  {measured}: {chosen['value']:.3f}, as the best of several too good by chance")
    for name, value in chosen["chosen"].items():
        lines.append(f"  {name}: {value:.4g}" if isinstance(value, float) else f"  {name}: {value}")
    return lines


def embedding_lines(told: Mapping[str, Any]) -> list[str]:
    """What became of the pictures of a folder, in lines for the console.

    Args:
        told: What `embedding.outcome.summary` counts.
    """
    lines = [f"{told['num_embedded']:,} pictures embedded"]
    if told["num_unusual"] is not None:
        share = told["num_unusual"] / max(told["num_embedded"], 1)
        lines[0] += (
            f"; {told['num_unusual']:,} ({share:.1%}) are unlike the lesions that the model knows; so are "
            f"{told['unusual_share']:.1%} of these lesions themselves"
        )
    left_out = {
        "num_refused": "pictures refused",
        "num_no_picture": "other files",
        "num_row_without_picture": "rows of the table without a picture",
        "num_pictures_without_row": "pictures without a row",
    }
    if any(told[name] for name in left_out):
        counts = ", ".join(f"{told[name]:,} {words}" for name, words in left_out.items() if told[name])
        lines.append(f"  Left out or alone: {counts} (the ledger names each)")
    if told["num_lesions"]:
        lines.append(f"  {told['num_lesions']:,} lesions, their pictures pooled")
    return lines
