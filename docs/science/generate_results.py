"""The results page: figures of real runs are collected from a project's data folder, and rendered to results.md.

    python docs/science/generate_results.py collect NAME COHORT --title=... --command=...
    python docs/science/generate_results.py render

`collect` copies the latest aggregated tables of a cohort (no image or patient id is in them) to docs/science/runs/NAME;
`render` writes docs/science/results.md from all of them. No figure of its tables is typed by hand.
"""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from slimp_pipeline.evaluation.features.embed import STARTS
from slimp_pipeline.evaluation.measures.records import leading_differences
from slimp_pipeline.reporting.findings.audits import known_truth_table, missingness_table
from slimp_pipeline.reporting.labels import (
    COMPARED,
    METHOD_NAMES,
    METRIC_NAMES,
    PROTOCOL_NAMES,
    features_name,
    in_order,
    method_name,
)
from slimp_pipeline.reporting.pages.comparison import spread, turned

RUNS, PAGE, INTRODUCTION = (Path(__file__).parent / name for name in ("runs", "results.md", "results_introduction.md"))
REFERENCES = (
    "initial_weights", "random_init", "initial_weights_adapted", "random_init_adapted", "slimp", "flat", "simclr",
    "metadata_linear", "supervised",
)  # fmt: skip
BRIEF = "balanced_accuracy"
Tables = dict[str, pd.DataFrame]


def collect(arguments: argparse.Namespace) -> None:
    """Copy the latest tables of a run that its sections show, rounded, without the rows of single folds."""
    target = RUNS / arguments.name
    target.mkdir(parents=True, exist_ok=True)
    sections = arguments.sections.split(",") if arguments.sections else list(SECTIONS)
    found = {}
    for name in dict.fromkeys(table for section in sections for table in SECTIONS[section][0]):
        paths = sorted((Path(arguments.data) / "08_reporting" / arguments.cohort).glob(f"{name}.csv/*/{name}.csv"))
        if paths and len(table := shown(name, read(paths[-1]))):
            table.round(4).to_csv(target / f"{name}.csv", index=False)
            found[name] = table
    if arguments.beside:  # the same run, split by patient
        found["disjoint_results"] = shown("results", read(Path(arguments.beside)))
        found["disjoint_results"].round(4).to_csv(target / "disjoint_results.csv", index=False)
    sections = [name for name in sections if SECTIONS[name][0][0] in found]
    facts = {"title": arguments.title, "command": arguments.command, "note": arguments.note, "sections": sections}
    (target / "run.json").write_text(json.dumps(facts, indent=2) + "\n")


def shown(name: str, table: pd.DataFrame) -> pd.DataFrame:
    if "draw" in table:
        table = table[table["draw"].astype(str).isin(["all", "holdout"])]
    if name == "differences":
        table = table[table["metric"].isin(COMPARED) & table["protocol"].isin(["linear_probe", "fine_tune"])]
    return table


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def render() -> str:
    """The whole page."""
    runs, brief = [], []
    for folder in sorted(path.parent for path in RUNS.glob("*/run.json")):
        facts = json.loads((folder / "run.json").read_text())
        tables = {path.stem: read(path) for path in folder.glob("*.csv")}
        runs += [f"## {facts['title']}", f"```console\n{facts['command']}\n```"]
        runs += [facts["note"]] if facts["note"] else []
        for section in facts["sections"]:
            runs += SECTIONS[section][1](tables)
        lines = in_brief(tables)
        brief += [[facts["title"] if line is lines[0] else "", *line] for line in lines]
    title = "In brief: differences in balanced accuracy on image features alone (bold: outside noise):"
    overview = [title, markdown(["run", "method", "minus", "difference"], brief)]
    return "\n\n".join([INTRODUCTION.read_text().rstrip(), *overview, *runs]) + "\n"


def in_brief(tables: Tables) -> list[list[object]]:
    """The differences on images that a run is about."""
    if "comparison_pairs" in tables:
        own = trained_first(tables["comparison_pairs"])
        own = own[own["reference"].isin([*STARTS[:1], "flat", "simclr"])]
    elif "differences" in tables:
        own = leading_differences(tables["differences"], BRIEF)
    else:
        return []
    return [
        [method_name(row.method), method_name(row.reference), signed(pd.Series(row._asdict()), "difference")]
        for row in own[own["features"] == "image"].itertuples()
    ]


def trained_first(pairs: pd.DataFrame) -> pd.DataFrame:
    """Differences of probes on what was trained here, in `BRIEF`: minus one another, the start and the baselines."""
    own = pairs[(pairs["metric"] == BRIEF) & (pairs["protocol"] == "linear_probe")]
    fixed = [*STARTS, *(name for name in METHOD_NAMES if name.endswith(("_linear", "_gbdt")))]
    turn = own["method"].isin(fixed)
    own = pd.concat([own[~turn], turned(own[turn])]).sort_index()
    return own[~own["method"].isin(fixed) & (own["reference"] != "random_init")]


def write_results(tables: Tables) -> list[str]:
    results = tables["results"]
    shown = results[results["protocol"].isin(["linear_probe", "baseline", "fine_tune"])]
    metrics = [metric for metric in COMPARED if metric in set(shown["metric"])]
    rows = []
    for (protocol, features), group in shown.groupby(["protocol", "features"], sort=False):
        cells = group.set_index(["method", "metric"])
        for method in in_order(group["method"]):
            title = what_is_measured(protocol, features)
            rows.append([title, method_name(method), *(estimate(cells, method, metric) for metric in metrics)])
    return [markdown(["features", "method", *(METRIC_NAMES[m] for m in metrics)], rows)]


def what_is_measured(protocol: str, features: str) -> str:
    """Name of a feature set, and whether it was fine-tuned."""
    return f"{features_name(features)} (fine-tuned)" if protocol == "fine_tune" else features_name(features)


def write_differences(tables: Tables) -> list[str]:
    own = tables["differences"]
    own = own[(own["protocol"] == "linear_probe") & own["reference"].isin(REFERENCES)]
    if "initial_weights" in set(own["reference"]):
        own = own[own["reference"] != "random_init"]
    metrics = [metric for metric in COMPARED if metric in set(own["metric"])]
    rows = []
    for (features, method, reference), group in own.groupby(["features", "method", "reference"], sort=False):
        cells = group.set_index("metric")
        values = [signed(cells.loc[metric], "difference") if metric in cells.index else "" for metric in metrics]
        rows.append([features_name(features), method_name(method), method_name(reference), *values])
    header = ["features", "method", "minus", *(METRIC_NAMES[m] for m in metrics)]
    total = int(tables["differences"]["num_comparisons"].max())
    number = f"{total} comparisons were made in all; intervals aren't corrected."
    return ["Paired differences, linear probe (bold: outside noise):", markdown(header, rows), number]


def write_leak(tables: Tables) -> list[str]:
    keys = ["features", "method", "protocol", "metric"]
    both = tables["disjoint_results"].merge(tables["results"], on=keys, suffixes=("", "_leaking"))
    both = both[both["protocol"].isin(["linear_probe", "knn", "baseline"]) & (both["metric"] == "balanced_accuracy")]
    rows, nearest = [], []
    for row in both.itertuples():
        difference = row.value_leaking - row.value
        low = difference - math.hypot(row.value_leaking - row.ci_low_leaking, row.ci_high - row.value)
        high = difference + math.hypot(row.ci_high_leaking - row.value_leaking, row.value - row.ci_low)
        measured = pd.Series({"difference": difference, "ci_low": low, "ci_high": high})
        values = [f"{row.value:.3f}", f"{row.value_leaking:.3f}", signed(measured, "difference")]
        line = [features_name(row.features), method_name(row.method), *values]
        (nearest if row.protocol == "knn" else rows).append(line)
    header = ["features", "method", "patients apart", "patients on both sides", "what the leak adds"]
    return [
        "Balanced accuracy where no patient is on both sides of the split, and where some are. The folds differ: the "
        "differences are unpaired, their intervals those of two independent figures. Linear probes and baselines:",
        markdown(header, rows),
        *([folded(PROTOCOL_NAMES["knn"], markdown(header, nearest))] if nearest else []),
    ]


def write_few_labels(tables: Tables) -> list[str]:
    results = tables["results"]
    few = results[(results["protocol"] == "low_shot") & (results["metric"] == "balanced_accuracy")]
    if few.empty:
        return []
    shots = list(dict.fromkeys(few["shots"]))
    rows = []
    for (method, features), group in few.groupby(["method", "features"], sort=False):
        cells = group.set_index("shots")
        values = [plain(cells.loc[shot]) if shot in cells.index else "" for shot in shots]
        rows.append([features_name(features), method_name(method), *values])
    return [
        "Few labels (images per class; share of patients), balanced accuracy, mean over draws:",
        markdown(["features", "method", *shots], rows),
    ]


def write_retrieval(tables: Tables) -> list[str]:
    results = tables["results"]
    found = results[
        (results["protocol"] == "retrieval")
        & results["metric"].isin(["precision_at_5", "recall_at_5", "mean_average_precision"])
    ]
    if found.empty:
        return []
    rows = [
        [
            features_name(row.features),
            method_name(row.method),
            row.metric.replace("_", " "),
            plain(pd.Series(row._asdict())),
        ]
        for row in found.dropna(subset="value").itertuples()
    ]
    return ["Retrieval, beside chance:", markdown(["what", "method", "measure", "value"], rows)]


def write_calibration(tables: Tables) -> list[str]:
    results = tables["results"]
    chosen = results[(results["metric"] == "ece") & (results["features"] == "image")]
    before, after = (
        chosen[chosen["protocol"] == name].set_index("method") for name in ("linear_probe", "linear_probe_calibrated")
    )
    rows = [
        [method_name(method), plain(before.loc[method]), plain(after.loc[method])]
        for method in in_order(before.index)
        if method in after.index
    ]
    return (
        [
            "Calibration error on images, before and after temperature scaling:",
            markdown(["method", "before", "after"], rows),
        ]
        if rows
        else []
    )


def write_robustness(tables: Tables) -> list[str]:
    table = tables["robustness"]
    table = table[table["metric"] == "balanced_accuracy"]
    table = table.assign(
        condition=[
            row.kind if row.kind.startswith(("no ", "intact")) else f"{row.kind} {row.share:.0%}"
            for row in table.itertuples()
        ]
    )
    conditions = list(dict.fromkeys(table["condition"]))
    rows = [
        [method_name(method), *(plain(own.loc[name]) if name in own.index else "" for name in conditions)]
        for method, own in ((m, g.set_index("condition")) for m, g in table.groupby("method", sort=False))
    ]
    return ["Worse metadata at test time, balanced accuracy on all features:", markdown(["method", *conditions], rows)]


def write_missingness(tables: Tables) -> list[str]:
    found = missingness_table(tables["missingness"])
    rows = [
        [line["field"], line["malignant"], line["benign"], f"{line['auroc']['value']} {line['auroc']['range']}"]
        for line in found["lines"]
        if line["warning"]
    ]
    said = []
    if rows:
        header = ["field", "missing in malignant", "in benign", 'AUROC of "is missing"']
        said += ["Fields whose gaps tell the label, over all labelled rows:", markdown(header, rows)]
    if found["unclear"]:
        names = ", ".join(found["unclear"])
        said.append(
            f"Whether gaps tell the label is not shown of: {names} (interval beyond {found['bound']}, or none)."
        )
    return said or [f'No field\'s gaps tell the label (AUROC of "is missing" at most {found["bound"]}).']


def write_subgroups(tables: Tables) -> list[str]:
    table = tables["subgroups"]
    first = table["method"].iloc[0]
    table = table[(table["method"] == first) & (table["features"] == "image")]
    rows = []
    for (field, group), own in table.groupby(["field", "group"], sort=False):
        cells = own.set_index("metric")
        small = str(own["too_small"].iloc[0]) == "True"
        values = (
            ["too small"] * 2
            if small
            else [plain(cells.loc[m]) if m in cells.index else "" for m in ("balanced_accuracy", "malignant_auroc")]
        )
        rows.append([field, group, own["num_patients"].iloc[0], own["num_images"].iloc[0], *values])
    return [
        f"Groups of patients, {method_name(first)}, image features:",
        markdown(["field", "group", "patients", "images", "balanced accuracy", "malignant AUROC"], rows),
    ]


def write_known_truth(tables: Tables) -> list[str]:
    return ["What was put in, and is found:", truths(known_truth_table(tables["known_truth"]))]


def write_truths(tables: Tables) -> list[str]:
    title = "What was put in, is it found? Mean over runs, lowest to highest:"
    return [title, truths(known_truth_table(tables["comparison_truths"], spread))]


def write_readings(tables: Tables) -> list[str]:
    table = tables["comparison_readings"]
    read = table[table["question"].str.startswith("read")]
    methods, cells = list(in_order(read["method"])), read.set_index(["field", "method"])
    rows = []
    for field, level in read[["field", "level"]].drop_duplicates().itertuples(index=False):
        found = [spread(cells.loc[(field, name)]) if (field, name) in cells.index else None for name in methods]
        rows.append([field, level, *(f"{cell['value']} ({cell['range']})" if cell else "" for cell in found)])
    title = "How well a linear probe tells each field from image embeddings (AUROC), mean over runs, lowest to highest:"
    return [title, markdown(["field", "level", *map(method_name, methods)], rows)]


def truths(table: dict[str, Any]) -> str:
    rows = [
        [line["question"], line["measure"], line["chance"], *(f"{c['value']} ({c['range']})" for c in line["cells"])]
        for line in table["lines"]
    ]
    return markdown(["question", "measure", "chance", *table["methods"]], rows)


def write_comparison(tables: Tables) -> list[str]:
    values, pairs = tables["comparison"], tables.get("comparison_pairs", pd.DataFrame())
    values = values[values["protocol"] != "linear_probe_f1"]  # has a table of its own
    values = values.assign(features=[what_is_measured(*place) for place in values[["protocol", "features"]].to_numpy()])
    metrics = [metric for metric in COMPARED if metric in set(values["metric"])]
    feature_sets = list(dict.fromkeys(values["features"]))
    cells = values.set_index(["features", "method", "metric"])
    first = values[values["metric"] == metrics[0]].sort_values("value", ascending=False)
    overview, full = [], []
    for method in in_order(values["method"]):
        entries = [estimate(cells.loc[name], method, metrics[0]) for name in feature_sets]
        overview.append([method_name(method), *entries])
    for features in feature_sets:
        for row in first[first["features"] == features].itertuples():
            figures = [estimate(cells.loc[features], row.method, metric) for metric in metrics]
            sd = "" if pd.isna(row.sd_between_runs) else f"{row.sd_between_runs:.3f}"
            full.append([features, method_name(row.method), row.num_runs, *figures, sd])
    header = ["features", "method", "runs", *(METRIC_NAMES[m] for m in metrics), "sd between runs"]
    parts = [
        f"{METRIC_NAMES[metrics[0]].capitalize()}, mean over runs:",
        markdown(["method", *feature_sets], overview),
        folded("All metrics, best first, and how much the runs differ", markdown(header, full)),
    ]
    if len(pairs):
        own = trained_first(pairs)
        outside = own[own["within_noise"].astype(str) == "False"]
        lines = [
            [
                features_name(row.features),
                method_name(row.method),
                method_name(row.reference),
                signed(pd.Series(row._asdict()), "difference"),
            ]
            for row in outside.itertuples()
        ]
        title = (
            f"{len(outside)} of {len(own)} paired differences in balanced accuracy (of what was trained: to one "
            "another, to the initial weights, to the baselines) are outside noise"
        )
        parts += [folded(title, markdown(["features", "method", "minus", "difference"], lines))]
    return parts


def write_macro_f1(tables: Tables) -> list[str]:
    """As MILK10k's challenge scores: plain, and with class weights that inner folds chose."""
    table = tables["comparison"][lambda own: own["metric"] == "macro_f1"]
    plainly, weighted = (
        table[table["protocol"] == name].set_index(["features", "method"])
        for name in ("linear_probe", "linear_probe_f1")
    )
    rows = [
        [
            features_name(features),
            method_name(method),
            plain(plainly.loc[(features, method)]),
            plain(weighted.loc[place]),
        ]
        for place in weighted.index
        for features, method in [place]
    ]
    header = ["features", "method", "linear probe", "with class weights"]
    return ["Macro-F1, plain and with class weights that inner folds chose:", markdown(header, rows)]


def write_controls(tables: Tables) -> list[str]:
    """What metadata add, and what those of strangers add."""
    table = tables["controls"]
    metrics = list(dict.fromkeys(table["metric"]))
    rows = []
    for (method, compared, reference), own in table.groupby(["method", "compared", "reference"], sort=False):
        cells = own.set_index("metric")
        values = [signed(cells.loc[metric], "difference") if metric in cells.index else "" for metric in metrics]
        rows.append([method_name(method), f"{compared} minus {reference}", *values])
    header = ["method", "compared", *(METRIC_NAMES[metric] for metric in metrics)]
    title = "Controls: metadata shuffled between patients, in training and at test; and a probe taught shuffled labels:"
    return [title, markdown(header, rows)]


def write_field_reading(tables: Tables) -> list[str]:
    """How well each field is read from images, and what it adds to them."""
    table = tables["field_reading"]
    read, adds = table[table["metric"] == "macro_auroc"], table[table["metric"] == "balanced_accuracy"]
    read = read[read["question"].str.startswith("read")].set_index(["field", "method"])
    adds = adds[adds["question"].str.startswith("adds")].set_index(["field", "method"])
    methods = list(in_order(table["method"]))
    rows = [
        [
            field,
            table.loc[table["field"] == field, "level"].iloc[0],
            *(plain(read.loc[(field, method)]) if (field, method) in read.index else "" for method in methods),
            signed(adds.loc[(field, methods[0])], "value") if (field, methods[0]) in adds.index else "",
        ]
        for field in dict.fromkeys(table["field"])
        if field
    ]
    names = [f"read from {method_name(method)} (AUROC)" for method in methods]
    return [
        "Each field: read from the image alone, and what it adds to the balanced accuracy of images:",
        markdown(["field", "level", *names, f"adds to {method_name(methods[0])}"], rows),
    ]


def write_borrowed(tables: Tables) -> list[str]:
    quality = tables["borrowed_quality"]
    rows = [
        [
            row.field,
            row.measure.replace("_", " "),
            f"{row.coverage:.0%}",
            row.num_rows,
            plain(pd.Series(row._asdict())),
            f"{row.chance:.3f}",
            f"{row.shuffled:.3f}",
        ]
        for row in quality[quality["coverage"].isin([0.1, 0.5, 1.0])].itertuples()
    ]
    parts = [
        "Borrowed metadata against the truth (coverage: only the nearest share is trusted):",
        markdown(["field", "measure", "coverage", "rows", "borrowed", "chance", "shuffled"], rows),
    ]
    if "borrowed_worth" in tables:
        own = tables["borrowed_worth"]
        own = own[own["metric"].isin(COMPARED)]
        lines = [
            [row.reference, METRIC_NAMES[row.metric], signed(pd.Series(row._asdict()), "difference")]
            for row in own.itertuples()
        ]
        parts += ["Images and borrowed metadata, minus:", markdown(["minus", "metric", "difference"], lines)]
    return parts


# Section -> the tables that it is written from, the first of which it can't do without.
SECTIONS: dict[str, tuple[tuple[str, ...], Callable[[Tables], list[str]]]] = {
    "comparison": (("comparison", "comparison_pairs"), write_comparison),
    "results": (("results",), write_results),
    "differences": (("differences",), write_differences),
    "macro_f1": (("comparison",), write_macro_f1),
    "controls": (("controls",), write_controls),
    "field_reading": (("field_reading",), write_field_reading),
    "leak": (("disjoint_results", "results"), write_leak),
    "few_labels": (("results",), write_few_labels),
    "retrieval": (("results",), write_retrieval),
    "calibration": (("results",), write_calibration),
    "robustness": (("robustness",), write_robustness),
    "missingness": (("missingness",), write_missingness),
    "subgroups": (("subgroups",), write_subgroups),
    "known_truth": (("known_truth",), write_known_truth),
    "truths": (("comparison_truths",), write_truths),
    "readings": (("comparison_readings",), write_readings),
    "borrowed": (("borrowed_quality", "borrowed_worth"), write_borrowed),
}


def estimate(cells: pd.DataFrame, method: str, metric: str) -> str:
    return plain(cells.loc[(method, metric)]) if (method, metric) in cells.index else ""


def plain(row: pd.Series) -> str:
    if pd.isna(row["value"]):
        return ""
    return (
        f"{row['value']:.3f}"
        if pd.isna(row["ci_low"])
        else f"{row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
    )


def signed(row: pd.Series, value: str) -> str:
    text = f"{row[value]:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
    within_noise = row.get("within_noise", row["ci_low"] <= 0 <= row["ci_high"])  # judged before figures were rounded
    return text if within_noise else f"**{text}**"


def markdown(header: list[str], rows: list[list[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def folded(title: str, table: str) -> str:
    """A long table that opens by a click."""
    return f'<details markdown="1">\n<summary>{title}</summary>\n\n{table}\n\n</details>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    collecting = commands.add_parser("collect")
    for name in ("name", "cohort"):
        collecting.add_argument(name)
    for name in ("title", "command"):
        collecting.add_argument(f"--{name}", required=True)
    collecting.add_argument("--data", default="data")
    collecting.add_argument("--note", default="")
    collecting.add_argument("--beside", default="", help="results.csv of the same run, split by patient")
    collecting.add_argument("--sections", default="", help=f"comma-separated, of {', '.join(SECTIONS)}; default: all")
    commands.add_parser("render")
    arguments = parser.parse_args()
    if arguments.what == "collect":
        collect(arguments)
    else:
        PAGE.write_text(render())


if __name__ == "__main__":
    main()
