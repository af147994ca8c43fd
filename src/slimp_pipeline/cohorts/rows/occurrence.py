"""What a cohort's YAML names must occur in its data: a name that matches nothing is a slip that nobody would see."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import pandas as pd

from slimp_pipeline.cohorts.ids import without_zeros
from slimp_pipeline.cohorts.rows.labels import SOUND_UNDECIDED, raw_labels
from slimp_pipeline.cohorts.rows.values import folded, is_missing, nearly, spellings
from slimp_pipeline.cohorts.spec import CohortSpec, FieldSpec, LabelSpec
from slimp_pipeline.cohorts.text import form_of

_NUM_SHOWN = 10


@dataclass(frozen=True)
class _Named:
    """Names of one setting, and the texts among which they must occur."""

    setting: str
    what: str  # `no row has <what> '<name>'`
    names: Iterable[str]
    texts: Collection[str]
    case_aside: bool = False
    closed: bool = False  # rows with any other text are quarantined, so that no slip goes unseen

    def absent(self) -> list[str]:
        known = {text.casefold() for text in self.texts} if self.case_aside else set(self.texts)
        return [name for name in self.names if (name.casefold() if self.case_aside else name) not in known]

    def problem(self, name: str, near: list[str]) -> str:
        there = list(self.texts)
        shown = ", ".join(f"'{text}'" for text in there[:_NUM_SHOWN])
        more = f" and {len(there) - _NUM_SHOWN} others" if len(there) > _NUM_SHOWN else ""
        meant = f". Is '{near[0]}' meant?" if near else ""
        return f"`{self.setting}`: no {self.what} '{name}'; there are {shown or 'none'}{more}{meant}"


def check_names(spec: CohortSpec, raw: pd.DataFrame, present: Collection[str]) -> list[str]:
    """Refuse names of a specification that occur nowhere in the data.

    Where `partial` is set, only names that differ from something by spelling alone are refused (of a closed
    vocabulary none: other texts are quarantined).

    Args:
        spec: The cohort.
        raw: Its joined tables, all text.
        present: Columns that the files have; optional ones that they lack are in `raw`, and empty.

    Returns:
        The names that may be absent and are, each with its setting: `fields.sex.missing: UNK`.

    Raises:
        ValueError: If there are others; lists them all, with what does occur.
    """
    refused, allowed = [], []
    for named in _all_names(spec, raw, present):
        absent, uncovered = named.absent(), set(named.texts) - set(named.names)
        near = nearly(absent, named.texts)
        for name in absent:
            slip = not named.closed and not uncovered.isdisjoint(near.get(name, []))
            if spec.partial and not slip:
                allowed.append(f"{named.setting}: {name}")
            else:
                refused.append(named.problem(name, near.get(name, [])))
    if refused:
        listed = "\n".join(f"  {problem}" for problem in refused)
        raise ValueError(
            f"cohort {spec.name}: its YAML names what the data don't have\n{listed}\n"
            "Correct the names or the table. Where the data may lack some of what the YAML names, set "
            "`partial: true`: then only slips of spelling are refused."
        )
    return allowed


def _all_names(spec: CohortSpec, raw: pd.DataFrame, present: Collection[str]) -> Iterable[_Named]:
    columns = [column for column in raw if column in present]
    yield _Named("leaks", "column is called", spec.leaks, columns)
    yield _Named("ignored", "column is called", spec.ignored, columns)
    lacking = [name for name in spec.optional if name not in present]
    if slips := nearly(lacking, columns):
        yield _Named("optional", "column is called", slips, columns)
    ids = [column for column in (spec.image_id, *spec.lesion_id, *spec.patient_id, spec.site_id) if column in present]
    yield _Named("missing", "id is", spec.missing, _texts(raw[ids].melt()["value"]), case_aside=True)
    if spec.label and any(column in present for column in spec.label.columns):
        yield from _label_names(spec.label, raw)
    for name, field in spec.fields.items():
        if field.kind != "checkbox" and field.column in present:
            yield from _field_names(f"fields.{name}", field, raw[str(field.column)])
        elif field.kind == "checkbox":
            cells = raw[[column for column in field.columns if column in present]].melt()["value"]
            yield _Named(f"fields.{name}.missing", "cell is", field.missing, _texts(cells), case_aside=True)
            yield _Named(f"fields.{name}.rename", "cell is", field.rename, _texts(cells), closed=True)


def _label_names(label: LabelSpec, raw: pd.DataFrame) -> Iterable[_Named]:
    text = raw_labels(label, raw)
    listed = [*label.classes, *label.malignant, *label.indeterminate]
    known = _texts(text[~is_missing(text, label.missing, listed=listed)])
    if not known:
        return  # which is said elsewhere
    yield _Named("label.missing", "row has the label", label.missing, _texts(text), case_aside=True)
    if not label.classes:
        yield _Named("label.malignant", "row has the diagnosis", label.malignant, known)
        yield _Named("label.indeterminate", "row has the diagnosis", label.indeterminate, known)
        return
    met = {label.classes[name] for name in known if name in label.classes}
    absent = [name for name, diagnosis in label.classes.items() if name not in known and diagnosis not in met]
    yield _Named(
        "label.classes", "row has the label", [*(n for n in label.classes if n in known), *absent], known, closed=True
    )


def _field_names(setting: str, field: FieldSpec, cells: pd.Series) -> Iterable[_Named]:
    known = cells[~is_missing(cells, field.missing, listed=[*(field.categories or []), *field.rename])]
    if known.empty:
        return  # a field that is never known says nothing of its vocabulary
    yield _Named(f"{setting}.missing", "cell is", field.missing, _texts(cells), case_aside=True)
    raw_texts = _texts(known)
    renamed = list(dict.fromkeys(field.rename.get(text, text) for text in raw_texts))
    met = {field.rename[text] for text in raw_texts if text in field.rename}
    alone = [text for text, category in field.rename.items() if text in raw_texts or category not in met]
    closed = field.categories is not None
    yield _Named(f"{setting}.rename", "cell is", alone, raw_texts, closed=closed)
    if closed:
        yield _Named(f"{setting}.categories", "row has the category", field.categories or [], renamed, closed=True)


def _texts(cells: pd.Series) -> list[str]:
    """Texts that occur, the most frequent first."""
    return [str(text) for text in cells.value_counts().index if text != ""]


def improbable_patient(rows: pd.DataFrame, spec: CohortSpec) -> list[str]:
    """Name a patient that owns an improbable share of the rows: its id may stand for "not known".

    Improbable: more than a twentieth of all rows, and over ten times as many as the next patient has.
    """
    counts = rows.loc[rows["patient_known"], "patient_id"].value_counts()
    if len(counts) < 2 or counts.iloc[0] <= max(len(rows) / 20, 10 * counts.iloc[1]):
        return []
    return [
        f"one patient, whose id has the form '{form_of(counts.index[0])}', owns {counts.iloc[0]:,} of {len(rows):,} "
        f"rows, the next {counts.iloc[1]:,}: does "
        f'that id mean "not known"? Then list it under `missing` of the cohort {spec.name}'
    ]


def spellings_of_patients(rows: pd.DataFrame) -> list[str]:
    """Name patient ids that differ by case, leading zeros or a trailing .0 alone: one person would count as two."""
    ids = pd.Series(rows.loc[rows["patient_known"], "patient_id"].unique(), dtype="str")
    alike = ids.map(lambda text: without_zeros(folded(text)))
    groups = ids[alike.duplicated(keep=False)].groupby(alike).agg(list)
    if groups.empty:
        return []
    listed = " and ".join(f"'{form_of(name)}'" for name in groups.iloc[0])
    return [
        f"{len(groups):,} patients have ids that differ by spelling alone (first: of the forms {listed}): is each one "
        "person?"
    ]


def odd_ids(rows: pd.DataFrame) -> list[str]:
    """Name ids that may stand for several: words like "?", and numbers that a spreadsheet rounded (1.23E+08)."""
    notes = []
    for column, known in (("patient_id", rows["patient_known"]), ("lesion_id", rows["lesion_id"] != rows["image_id"])):
        counts = rows.loc[known, column].value_counts()
        for name, count in counts[counts.index.str.lower().isin(SOUND_UNDECIDED)].items():
            notes.append(
                f"{column} '{name}' of {count:,} rows counts as one: does it mean \"not known\"? Then list it under "
                "`missing` of the cohort"
            )
        if len(rounded := counts[counts.index.str.fullmatch(r"\d(\.\d+)?E\+\d+", case=False)]):
            notes.append(
                f"{len(rounded):,} of {column} look like numbers that a spreadsheet rounded (first: of the form "
                f"'{form_of(rounded.index[0])}', {rounded.iloc[0]:,} rows): ids that differed may have become one. "
                "Export them as text"
            )
    return notes


def spellings_of_categories(rows: pd.DataFrame, spec: CohortSpec) -> list[str]:
    """Name texts of fields without `categories` that differ by spelling alone: each counts as a category of its own."""
    notes = []
    for name, field in spec.fields.items():
        if field.kind != "categorical" or field.categories is not None:
            continue
        groups = [group for _, group in sorted(spellings(rows[name].dropna().unique()).items()) if len(group) > 1]
        if groups:
            shown = groups[0] if field.publish_texts else map(form_of, groups[0])
            listed = " and ".join(f"'{text}'" for text in shown)
            notes.append(
                f"field {name}: {len(groups):,} of its categories stand there in several spellings (first: {listed}): "
                "bring them together by `rename`"
            )
    return notes
