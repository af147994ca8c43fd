"""What was learnt, in one sentence: it opens a page, and what the console says. No more is said than was measured."""

import pandas as pd

from slimp_pipeline.evaluation.measures.records import leading_differences, pretrained_method, summary_draw
from slimp_pipeline.quality.suspects import KIND_TITLES, SAME_BYTES
from slimp_pipeline.reporting.findings.controlled import Gain, gain_of_metadata
from slimp_pipeline.reporting.labels import METRIC_NAMES, method_name, verdict
from slimp_pipeline.tables.splits import HOLDOUT

_STARTS = {"initial_weights": "the weights they started from", "random_init": "untrained ones"}
_METADATA = "metadata_linear"
_ADDED = {
    Gain.UNMEASURED: "what the metadata it reads add to images could not be measured",
    Gain.LOSS: "the metadata it reads make images worse, outside noise",
    Gain.NONE: "the metadata it reads add nothing to images outside noise",
    Gain.STRANGERS: "what the metadata it reads add to images, strangers' metadata add too",
    Gain.NOT_SHOWN: "the metadata it reads add to images, but whether strangers' would do as well is not shown",
    Gain.IN_PART: "the metadata it reads add to images what strangers' metadata don't",
    Gain.OWN: "the metadata it reads add to images what strangers' metadata don't",
}
LEAKS = "The split lets patients stand on both sides: the figures show what a leak adds, and are no results."


def learnt_of_run(
    results: pd.DataFrame,
    differences: pd.DataFrame,
    controls: pd.DataFrame,
    *,
    leaks: bool = False,
    metric: str = "balanced_accuracy",
) -> str:
    """Say what pre-training adds to image features, how metadata alone compare, and whether metadata add to images.

    Args:
        results: The results table.
        differences: Paired differences of the pre-trained methods.
        controls: Table with `evaluation.audits.controls.CONTROL_COLUMNS`; empty where nothing was shuffled.
        leaks: Whether the split lets patients stand on both sides: then nothing is learnt.
        metric: The one that is spoken of.
    """
    if leaks:
        return LEAKS
    draw = summary_draw(results)
    chosen = results[(results["metric"] == metric) & (results["draw"] == draw)].dropna(subset="value")
    probes = chosen[(chosen["features"] == "image") & (chosen["protocol"] == "linear_probe")]
    if probes.empty:
        return "No linear probe on image features was measured: nothing is learnt of the encoder."
    method = pretrained_method(probes["method"])
    paired = leading_differences(differences, metric)
    paired = paired[paired["method"] == method].dropna(subset=["difference", "ci_low", "ci_high"])
    where = " on the hold-out" if draw == HOLDOUT else ""
    own = probes[probes["method"] == method].iloc[0]
    added = _added_by_metadata(controls[(controls["metric"] == metric) & (controls["method"] == method)])
    return f"{_gain(own, paired, METRIC_NAMES[metric])}{where}; {_against_metadata(chosen, paired)}{added}."


def _gain(own: pd.Series, paired: pd.DataFrame, metric: str) -> str:
    features = f"{method_name(own['method'])}'s image features"
    start = next((name for name in _STARTS if name in set(paired["reference"])), None)
    if start is None:
        reached = f"{own['value']:.3f} {_interval(own['ci_low'], own['ci_high'])} {metric}"
        return f"{features} reach {reached}, but no difference to untrained ones was measured"
    row = paired[paired["reference"] == start].iloc[0]
    change = f"by {abs(row['difference']):.3f} {_interval(*_turned(row))} {metric}"
    if verdict(row["ci_low"], row["ci_high"]) == "within noise":
        way = "above" if row["difference"] >= 0 else "below"
        return f"No gain is shown: {features} lie {change.removeprefix('by ')} {way} {_STARTS[start]}, within noise"
    verb = "beat" if row["difference"] > 0 else "fall behind"
    return f"{features} {verb} {_STARTS[start]} {change}, outside noise"


def _against_metadata(chosen: pd.DataFrame, paired: pd.DataFrame) -> str:
    against = paired[paired["reference"] == _METADATA]
    if _METADATA not in set(chosen["method"]):
        return "metadata alone were not measured"
    if against.empty:
        return "no difference to metadata alone was measured"
    row = against.iloc[0]
    if verdict(row["ci_low"], row["ci_high"]) == "within noise":
        return "metadata alone are no better and no worse outside noise"
    return "metadata alone do " + ("worse" if row["difference"] > 0 else "better") + ", outside noise"


def _added_by_metadata(controls: pd.DataFrame) -> str:
    """Whether metadata add to images, and strangers' as much; nothing where nothing was shuffled."""
    if controls.empty:
        return ""
    return f"; {_ADDED[gain_of_metadata(controls.set_index(['compared', 'reference']))]}"


def learnt_of_comparison(
    values: pd.DataFrame, pairs: pd.DataFrame, *, leaks: bool = False, metric: str = "balanced_accuracy"
) -> str:
    """Say which method is best on image features, and of how many others that can be told.

    Args:
        values: Table with `evaluation.measures.compare.COMPARISON_COLUMNS`.
        pairs: Table with `evaluation.measures.compare.PAIR_COLUMNS`.
        leaks: As above.
        metric: As above.
    """
    if leaks:
        return LEAKS
    chosen = _on_images(values, metric).dropna(subset="value").sort_values("value", ascending=False, kind="stable")
    if len(chosen) < 2:
        return "Fewer than two methods were measured on image features: there is nothing to compare."
    best = chosen.iloc[0]
    own = _on_images(pairs, metric).dropna(subset=["difference", "ci_low", "ci_high"])
    own = own[own["method"].isin(chosen["method"]) & own["reference"].isin(chosen["method"])]
    own = own[own["method"].eq(best["method"]) | own["reference"].eq(best["method"])]
    outside = own[(own["ci_low"] > 0) | (own["ci_high"] < 0)]
    reached = f"{best['value']:.3f} {_interval(best['ci_low'], best['ci_high'])} {METRIC_NAMES[metric]}"
    said = f"On image features {method_name(best['method'])} measures highest ({reached})"
    if own.empty:
        return f"{said}; no difference to the others was measured."
    if outside.empty:
        return f"{said}, but within noise of every other method: no best one is shown."
    number = "all" if len(outside) == len(own) == len(chosen) - 1 else f"{len(outside)} of"
    return f"{said}, outside noise above {number} {len(chosen) - 1} others."


def learnt_of_borrowing(quality: pd.DataFrame, worth: pd.DataFrame, metric: str = "balanced_accuracy") -> str:
    """Say how true borrowed metadata are, and what they add to images alone.

    Args:
        quality: Table with `extrapolation.quality.QUALITY_COLUMNS`.
        worth: Table with `extrapolation.run.WORTH_COLUMNS`.
        metric: The one that is spoken of.
    """
    true = _truth_of_borrowing(*quality_of_most(quality))
    alone = worth[(worth["metric"] == metric) & (worth["reference"] == "images alone")]
    alone = alone.dropna(subset=["difference", "ci_low", "ci_high"])
    if alone.empty:
        return f"{true}; what they are worth was not measured."
    row = alone.iloc[0]
    change = f"{abs(row['difference']):.3f} {_interval(*_turned(row))} {METRIC_NAMES[metric]}"
    if verdict(row["ci_low"], row["ci_high"]) == "within noise":
        return (
            f"{true}; no worth is shown: beside images they change {_signed(row)} {METRIC_NAMES[metric]}, within noise."
        )
    return f"{true}; beside images they {'add' if row['difference'] > 0 else 'take away'} {change}, outside noise."


def quality_of_most(quality: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """How true borrowed metadata are on the most rows that were judged, and which these are: empty where all are.

    Args:
        quality: Table with `extrapolation.quality.QUALITY_COLUMNS`.
    """
    if quality.empty:
        return quality, ""
    share = quality["coverage"].max()
    return quality[quality["coverage"] == share], "" if share == 1 else f"on the nearest {100 * share:g} % of rows"


def _truth_of_borrowing(quality: pd.DataFrame, of_rows: str) -> str:
    judged = quality[quality["measure"].isin(["accuracy", "mean_absolute_error"])]
    if judged.empty:
        return "How true borrowed metadata are is not known"
    fields = "fields and options of fields" if judged["kind"].eq("checkbox").any() else "fields"
    beats = int(judged["beats_chance"].astype(bool).sum())
    said = f"{of_rows} borrowed metadata are truer than chance in {beats} of {len(judged)} {fields}".lstrip()
    return said[0].upper() + said[1:]


def learnt_of_pictures(suspects: pd.DataFrame) -> str:
    """Say what is certain about a cohort's pictures, and how much is to be looked at.

    Args:
        suspects: Table with `quality.suspects.SUSPECT_COLUMNS`.
    """
    equal = suspects[suspects["why"].str.startswith(SAME_BYTES)]
    across = int(equal["relation"].eq("different patients").sum())
    kinds = suspects["kind"].value_counts()
    ranked = ", ".join(f"{kinds[kind]:,} {title.lower()}" for kind, title in KIND_TITLES.items() if kind in kinds)
    pairs = "1 pair of pictures has" if len(equal) == 1 else f"{len(equal):,} pairs of pictures have"
    certain = f"{pairs} the same bytes, {across:,} of them two patients'"
    certain = certain if len(equal) else "No two pictures have the same bytes"
    if not ranked:
        return f"{certain}; nothing else is suspicious."
    return f"{certain}; {ranked} are ranked, the most suspicious first: far from all are faults."


def _on_images(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    return table[(table["metric"] == metric) & (table["features"] == "image") & (table["protocol"] == "linear_probe")]


def _turned(row: pd.Series) -> tuple[float, float]:
    """The interval of a difference as of its size, whichever way it goes."""
    return (row["ci_low"], row["ci_high"]) if row["difference"] >= 0 else (-row["ci_high"], -row["ci_low"])


def _interval(low: float, high: float) -> str:
    return f"[{low:.3f}, {high:.3f}]"


def _signed(row: pd.Series) -> str:
    return f"{row['difference']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
