"""What people decided about pictures, after looking at suspects: kept, dropped, a duplicate, wrongly labelled."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.files.raw_files import decisions_path, table_paths
from slimp_pipeline.cohorts.files.table_file import read_table
from slimp_pipeline.cohorts.rows.problems import COLUMNS
from slimp_pipeline.cohorts.rows.reader import Reading, read_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.cohorts.text import table_as_meant
from slimp_pipeline.tables.csv_cells import unguard_formulas

DECISION_COLUMNS = ["image_id", "decision", "note"]
KEEP, DROP, DUPLICATE_OF, WRONG_LABEL = DECISIONS = ("keep", "drop", "duplicate_of", "wrong_label")
DECIDED = "(decision)"  # in the quarantine, in place of a column of the cohort's tables
_REASONS = {
    DROP: "decision: drop",
    DUPLICATE_OF: "decision: a duplicate of another image",
    WRONG_LABEL: "decision: wrong label, taken as not known",
}
_NUM_SAID = 5

Problem = tuple[int, str, str]  # line, column, what is wrong


def read_cohort(spec: CohortSpec, raw_files: pd.DataFrame) -> Reading:
    """Read a cohort's tables into rows, and follow what people decided about its images.

    Args:
        spec: The cohort.
        raw_files: Its files as `find_raw_files` lists them.
    """
    reading = read_rows(spec, table_paths(raw_files))
    path = decisions_path(raw_files)
    return apply_decisions(reading, path) if path else reading


def apply_decisions(reading: Reading, path: Path) -> Reading:
    """Set aside the rows whose images were dropped, and take away labels that are wrong.

    Args:
        reading: A cohort's rows.
        path: Decision file: a table with `DECISION_COLUMNS`; others aren't read. `decision` is one of `DECISIONS`, or
            empty where nothing is decided yet. `note` is the image that stays, where the decision is `duplicate_of`;
            elsewhere any text.

    Returns:
        The same with fewer rows; each row that is set aside, or loses its label (it is `kept`), stands in the
        quarantine. The fact `decisions` counts them all.

    Raises:
        ValueError: If the file can't be read, an image or a decision isn't known, an image is decided twice, or one is
            a duplicate of an image that doesn't stay, since it is dropped or set aside already; names the file, the
            lines and the columns. If no row is left.
    """
    decisions = _read(path)
    known = {*reading.rows["image_id"], *reading.quarantine["image_id"]} - {""}
    if problems := sorted(_problems(decisions, known, set(reading.rows["image_id"]))):
        listed = "\n".join(f"  line {line}, column {column}: {what}" for line, column, what in problems[:_NUM_SAID])
        more = f"\n  and {len(problems) - _NUM_SAID} more" if len(problems) > _NUM_SAID else ""
        raise ValueError(f"{path} can't be followed, and nothing was dropped:\n{listed}{more}\nCorrect these lines.")
    made = decisions[decisions["decision"].ne("")]
    counts = {name: int(made["decision"].eq(name).sum()) for name in DECISIONS}
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"
    open_ = f"; {len(decisions) - len(made):,} rows without a decision" if len(decisions) > len(made) else ""
    facts = reading.facts | {
        "decisions": counts,
        "notes": [*reading.facts["notes"], f"decisions of {path.name}: {said}{open_}"],
    }
    followed = _applied(reading, made.set_index("image_id"), facts)
    if len(reading.rows) and not len(followed.rows):
        raise ValueError(f"{path} drops all {len(reading.rows):,} rows that could be read: let some stay.")
    return followed


def _applied(reading: Reading, made: pd.DataFrame, facts: dict[str, Any]) -> Reading:
    decision = reading.rows["image_id"].map(made["decision"])
    aside, wrong = decision.isin([DROP, DUPLICATE_OF]), decision.eq(WRONG_LABEL)
    told = made.loc[reading.rows.loc[aside | wrong, "image_id"]]
    entries = pd.DataFrame(
        {
            "table": "",
            "line": -1,
            "image_id": told.index,
            "column": DECIDED,
            "value": [f"{row.decision} {row.note}".strip() for row in told.itertuples()],
            "reason": [_REASONS[name] for name in told["decision"]],
            "kept": told["decision"].eq(WRONG_LABEL).to_numpy(),
        }
    )[COLUMNS]
    rows = reading.rows.copy()
    rows["diagnosis"], rows["malignant"] = rows["diagnosis"].mask(wrong), rows["malignant"].mask(wrong)
    quarantine = pd.concat([reading.quarantine, entries], ignore_index=True) if len(entries) else reading.quarantine
    return Reading(rows[~aside].reset_index(drop=True), quarantine, facts)


def _read(path: Path) -> pd.DataFrame:
    """The columns of a decision file; index = line."""
    table = unguard_formulas(table_as_meant(read_table(path))[0])  # the page wrote it, or a spreadsheet
    if absent := [name for name in ("image_id", "decision") if name not in table]:
        raise ValueError(
            f"{path} needs the columns {', '.join(DECISION_COLUMNS)}; it has no {' and no '.join(absent)}, but "
            f"{', '.join(table.columns)}."
        )
    table = table.reindex(columns=DECISION_COLUMNS, fill_value="")
    return table.assign(decision=table["decision"].str.lower())


def lost_duplicates(quarantine: pd.DataFrame, with_picture: pd.Series) -> list[str]:
    """Say how many images were dropped as duplicates of one that proved to have no picture; nothing where none was.

    Args:
        quarantine: Of a cohort's rows.
        with_picture: Image ids of the rows that stay and have one.
    """
    told = quarantine[quarantine["column"].eq(DECIDED) & quarantine["value"].str.startswith(f"{DUPLICATE_OF} ")]
    other_of = dict(zip(told["image_id"], told["value"].str.removeprefix(f"{DUPLICATE_OF} "), strict=True))
    last = pd.Series([_last_other(*pair, other_of) for pair in other_of.items()], dtype="str")
    count = int((~last.isin(with_picture)).sum())
    if with_picture.empty or not count:
        return []
    return [
        f"{count:,} images were dropped as duplicates, and the one that stays has no picture that can be read "
        "(quarantine.csv, 'decision: a duplicate'): mend its file, or let the duplicate stay instead"
    ]


def _last_other(image_id: str, other: str, other_of: Mapping[str, str]) -> str | None:
    """Follow duplicates from an image and its other to the one that is none; None where they go in a circle."""
    seen = {image_id}
    while other not in seen:
        if other not in other_of:
            return other
        seen.add(other)
        other = other_of[other]
    return None


def _problems(decisions: pd.DataFrame, known: set[str], readable: set[str]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for row in decisions.itertuples():
        line, image_id = int(row.Index), str(row.image_id)
        if not image_id:
            yield line, "image_id", "no image id"
        elif image_id not in known:
            stem = image_id.rpartition(".")[0]
            hint = f". Is '{stem}' meant?" if stem in known else ""
            yield line, "image_id", f"the cohort has no image '{image_id}'{hint}"
        elif image_id in first:
            yield line, "image_id", f"'{image_id}' stands in line {first[image_id]} already: decide once"
        first.setdefault(image_id, line)
        if row.decision not in (*DECISIONS, ""):
            yield line, "decision", f"'{row.decision}' is none; known are {', '.join(DECISIONS)}"
    yield from _problems_of_duplicates(decisions, known, readable)


def _problems_of_duplicates(decisions: pd.DataFrame, known: set[str], readable: set[str]) -> Iterator[Problem]:
    """Of every group of duplicates one image has to stay."""
    by_id = decisions[decisions["image_id"].isin(readable)].drop_duplicates("image_id").set_index("image_id")
    other_of = by_id.loc[by_id["decision"].eq(DUPLICATE_OF), "note"].to_dict()
    dropped = set(by_id.index[by_id["decision"].eq(DROP)])
    for row in decisions[decisions["decision"].eq(DUPLICATE_OF)].itertuples():
        line, other = int(row.Index), str(row.note)
        if other not in known:
            what = f"the cohort has no image '{other}'" if other else "no image"
            yield line, "note", f"{what}; of a duplicate, it names the image that stays"
            continue
        last = _last_other(str(row.image_id), other, other_of)
        if last is None:
            yield line, "note", f"'{other}' is itself a duplicate of this image: one of them has to stay"
        elif last in dropped:
            yield line, "note", f"'{last}', of which it is a duplicate, is dropped: drop both, or let one stay"
        elif last in known and last not in readable and row.image_id in readable:
            what = f"the row of '{last}', of which it is a duplicate, is in the quarantine"
            yield line, "note", f"{what}: mend that row, or let this image stay"
