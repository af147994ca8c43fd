"""What a run found, in a few lines for the console."""

import pandas as pd

from slimp_pipeline.evaluation.records import summary_draw


def summary_lines(results: pd.DataFrame, differences: pd.DataFrame, metric: str = "balanced_accuracy") -> list[str]:
    """Say what the linear probe measured, and what SLIMP adds to the weights it started from.

    Args:
        results: The results table.
        differences: Paired differences of SLIMP to the other methods.
        metric: Which metric.

    Returns:
        At most eight lines of text.
    """
    draw = summary_draw(results)
    chosen = results[(results["metric"] == metric) & (results["draw"] == draw)]
    image = chosen[(chosen["features"] == "image") & (chosen["protocol"] == "linear_probe")]
    baseline = chosen[chosen["protocol"] == "baseline"]
    name = metric.replace("_", " ")
    lines = [f"{results['cohort'].iloc[0]}: {name} of a linear probe, mean over folds [95 % interval]"]
    for row in pd.concat([image, baseline]).itertuples():
        lines.append(f"  {row.method:<16} {row.features:<9} {row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}]")
    paired = differences[
        (differences["metric"] == metric)
        & (differences["features"] == "image")
        & (differences["protocol"] == "linear_probe")
    ]
    for row in paired.itertuples():
        verdict = "within noise" if row.ci_low <= 0 <= row.ci_high else "outside noise"
        lines.append(
            f"  slimp - {row.reference}: {row.difference:+.3f} [{row.ci_low:+.3f}, {row.ci_high:+.3f}], {verdict}"
        )
    return lines
