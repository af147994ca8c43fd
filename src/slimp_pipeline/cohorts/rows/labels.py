"""Diagnosis and malignancy of every row, and what a cohort's labels leave open."""

import pandas as pd

from slimp_pipeline.cohorts.rows.problems import Problems
from slimp_pipeline.cohorts.rows.values import is_missing, spellings, unknown_reasons
from slimp_pipeline.cohorts.spec import MISSING_ID_TOKENS, MISSING_TOKENS, LabelSpec

SOUND_UNDECIDED = (MISSING_ID_TOKENS - MISSING_TOKENS) | {
    "?", "??", "unk", "not known", "pending", "unclear", "undetermined", "indeterminate", "not available", "unspecified"
}  # fmt: skip


def read_labels(label: LabelSpec | None, raw: pd.DataFrame, problems: Problems) -> tuple[pd.Series, pd.Series]:
    """Diagnosis (text or missing) and malignancy (boolean or missing) of every row; unknown labels are set aside."""
    if label is None:
        nothing = pd.Series(pd.NA, index=raw.index)
        return nothing.astype("str"), nothing.astype("boolean")
    text = raw_labels(label, raw, problems)
    missing = is_missing(text, label.missing, listed=_named(label))
    diagnosis = text
    if label.classes:
        column = label.column or label.one_hot[0]
        unknown = ~missing & ~text.isin(list(label.classes))
        problems.note(column, text, unknown, unknown_reasons("label", text[unknown], label.classes))
        diagnosis = text.map(label.classes)
    diagnosis = diagnosis.where(~missing).astype("str")
    decided = diagnosis.notna() & ~diagnosis.isin(label.indeterminate)
    malignant = diagnosis.isin(label.malignant).astype("boolean").where(decided & bool(label.malignant))
    return diagnosis, malignant


def raw_labels(label: LabelSpec, raw: pd.DataFrame, problems: Problems | None = None) -> pd.Series:
    """The label as the tables have it: its column, or the name of the one-hot column that is set ("" where none is)."""
    if not label.one_hot:
        return raw[str(label.column)]
    marked = pd.DataFrame(index=raw.index)
    for column in label.one_hot:
        unknown = is_missing(raw[column])
        numbers = pd.to_numeric(raw[column].where(~unknown), errors="coerce")
        if problems:
            problems.note(column, raw[column], ~unknown & numbers.isna(), "not a number")
            problems.note(column, raw[column], numbers.notna() & ~numbers.isin([0, 1]), "neither 0 nor 1")
        marked[column] = numbers == 1
    if problems:
        several = marked.sum(axis=1) > 1
        problems.note(
            label.one_hot[0], raw[label.one_hot[0]], several, f"several of {', '.join(label.one_hot)} are set"
        )
    return marked.idxmax(axis=1).where(marked.any(axis=1), "")


def check_labels(cohort: str, label: LabelSpec | None, rows: pd.DataFrame) -> list[str]:
    """Say what the labels of a cohort leave open.

    Args:
        cohort: Its name.
        label: Its specification.
        rows: Those that are kept: diagnosis, malignant, lesion_id.

    Raises:
        ValueError: If diagnoses that differ by spelling alone are malignant and not.
    """
    if label is None:
        return ["no label: the YAML names none"]
    known, malignant = rows["diagnosis"].dropna(), rows["malignant"]
    if known.empty:
        return [f"no row has a diagnosis: {', '.join(label.columns)} is empty in all {len(rows):,} rows"]
    notes = [*_spellings(cohort, label, list(known.unique())), *_undecided(label, known), *_lesions_with_two(rows)]
    if len(known.unique()) == 1:
        notes.append(f"every labelled row has the diagnosis '{known.iloc[0]}': nothing can be told apart by it")
    if not label.malignant:
        notes.append("which lesions are malignant can't be told: `label.malignant` names no diagnosis")
    elif malignant.nunique() < 2:
        only = "malignant" if malignant.eq(True).any() else "benign"
        notes.append(f"every row whose malignancy can be told is {only}")
    return notes


def _undecided(label: LabelSpec, known: pd.Series) -> list[str]:
    """Diagnoses that sound like none, and count as benign."""
    named = {*label.classes, *label.malignant, *label.indeterminate}
    met = known[known.str.lower().isin(SOUND_UNDECIDED) & ~known.isin(named)].value_counts()
    return [
        f"the diagnosis '{text}' of {count:,} rows counts as a class, and as benign: list it under `label.missing` or "
        "`label.indeterminate` if it means that nothing is known"
        for text, count in met.items()
    ]


def _lesions_with_two(rows: pd.DataFrame) -> list[str]:
    num_diagnoses = rows.groupby("lesion_id")["diagnosis"].nunique()
    several = num_diagnoses[num_diagnoses > 1]
    if several.empty:
        return []
    first = ", ".join(sorted(rows.loc[rows["lesion_id"] == several.index[0], "diagnosis"].dropna().unique()))
    return [f"{len(several):,} lesions have several diagnoses (the first: {first})"]


def _spellings(cohort: str, label: LabelSpec, diagnoses: list[str]) -> list[str]:
    """Diagnoses that differ by case, blanks or a trailing .0 alone."""
    notes = []
    for group in spellings(sorted(diagnoses)).values():
        if len(group) == 1:
            continue
        listed = " and ".join(f"'{name}'" for name in group)
        if len({(name in label.malignant, name in label.indeterminate) for name in group}) > 1:
            raise ValueError(
                f"cohort {cohort}: the diagnoses {listed} differ by spelling alone, and not all of them are named in "
                "`malignant` or `indeterminate`: some of these lesions would count as benign. Correct the table, or "
                "list each spelling in `label.classes`."
            )
        notes.append(
            f"the diagnoses {listed} differ by spelling alone, and count as {len(group)} classes: correct the table, "
            "or list each spelling in `label.classes`"
        )
    return notes


def _named(label: LabelSpec) -> list[str]:
    return [*label.classes, *label.malignant, *label.indeterminate, *label.one_hot]
