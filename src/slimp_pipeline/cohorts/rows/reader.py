"""Raw tables to lesion rows: one reader for every cohort, driven by its specification."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.rows.joins import Joined, read_joined
from slimp_pipeline.cohorts.rows.labels import check_labels, read_labels
from slimp_pipeline.cohorts.rows.occurrence import (
    check_names,
    improbable_patient,
    odd_ids,
    spellings_of_categories,
    spellings_of_patients,
)
from slimp_pipeline.cohorts.rows.problems import Problems
from slimp_pipeline.cohorts.rows.values import missing_id, nearly, read_field
from slimp_pipeline.cohorts.spec import PICTURE_SUFFIXES, CohortSpec

logger = logging.getLogger(__name__)
_ERRORS = ("#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!")
_FURTHER_SUFFIXES = (".dcm", ".heic", ".heif", ".jp2", ".avif")  # what pictures may have been before a conversion


@dataclass(frozen=True)
class Reading:
    """What a cohort's tables say.

    Attributes:
        rows: image_id, lesion_id, patient_id, patient_known (bool), site_id (text or missing; where the cohort names
            its column), diagnosis (text or missing), malignant (boolean or missing), one column per field (numeric:
            float; categorical: text; checkbox: one boolean column `field.option` per option), image_folder (path that
            the row gives with its image id; else empty).
        quarantine: table, line, image_id, column, value, reason, kept: a row may stand there more than once. `kept`
            rows are in `rows` all the same; rows of further tables that belong to no row have no image id.
        facts: table (the first one's name), num_rows (of it), joins, names_absent (names of the YAML that occur
            nowhere), decisions (people's, by kind, once they are applied), notes (sentences); plain JSON.
    """

    rows: pd.DataFrame
    quarantine: pd.DataFrame
    facts: dict[str, Any]


def read_rows(spec: CohortSpec, table_paths: Mapping[int, Path]) -> Reading:
    """Read a cohort's tables into one row per image, and set aside the rows that break.

    Args:
        spec: The cohort.
        table_paths: Number of a table in `spec.tables` -> its file, for all that exist.

    Raises:
        ValueError: If a column is missing, a table can't be read, or what the specification names occurs nowhere;
            names the file and the column.
    """
    joined = read_joined(spec, table_paths)
    raw, problems = _with_columns(spec, joined), joined.problems
    for column in dict.fromkeys(spec.columns):
        problems.note(column, raw[column], raw[column].isin(_ERRORS), "an error of a spreadsheet, and no value")
    absent = check_names(spec, raw, {name for names in joined.columns.values() for name in names})
    rows = pd.DataFrame({"image_id": _image_ids(spec, raw, problems)}, index=raw.index)
    rows["lesion_id"], lesion_known = _joined_ids(spec, raw, spec.lesion_id, "image:" + rows["image_id"])
    if not spec.lesion_id:
        rows["lesion_id"] = rows["image_id"]
    alone = ("lesion:" + rows["lesion_id"]).where(lesion_known, "image:" + rows["image_id"])
    patients = spec.patient_id or spec.lesion_id
    rows["patient_id"], rows["patient_known"] = _joined_ids(spec, raw, patients, alone)
    notes = [*joined.notes, *_told_by_lesion(rows, lesion_known), *spellings_of_patients(rows), *odd_ids(rows)]
    if not patients:
        rows["patient_id"] = rows["image_id"]
    if spec.site_id:
        rows["site_id"] = raw[spec.site_id].mask(missing_id(raw[spec.site_id], spec))
    rows["image_folder"] = _folders(spec, raw)
    for name, field in spec.fields.items():
        for column, values in read_field(name, field, raw, problems).items():
            rows[column] = values
    rows["diagnosis"], rows["malignant"] = read_labels(spec.label, raw, problems)
    _find_repeats(raw, rows, problems)
    _find_shared_lesions(rows, problems)
    quarantine = problems.entries(rows["image_id"])
    set_aside = quarantine.loc[quarantine["table"].eq(problems.table) & ~quarantine["kept"], "line"].unique()
    facts = {"table": problems.table, "num_rows": len(raw), "joins": joined.joins, "names_absent": absent}
    facts["decisions"] = {}
    del raw, joined  # the cells as text take twice the memory of what was read from them
    rows = rows.drop(index=set_aside).reset_index(drop=True)
    notes += [*check_labels(spec.name, spec.label, rows), *improbable_patient(rows, spec)]
    notes += spellings_of_categories(rows, spec)
    if patients == spec.lesion_id:
        rows["patient_known"] = False  # whose lesions are one person's isn't told
    return Reading(rows, quarantine, facts | {"notes": notes})


def _with_columns(spec: CohortSpec, joined: Joined) -> pd.DataFrame:
    """Require the columns that are read, and fill in the optional ones that aren't there."""
    raw = joined.raw
    absent = sorted(set(spec.columns) - set(raw.columns))
    if needed := [column for column in absent if column not in spec.optional]:
        near = [f"'{found[0]}'" for found in nearly(needed, raw.columns).values()]
        files = "; ".join(f"{name} has: {', '.join(columns)}" for name, columns in joined.columns.items())
        raise ValueError(
            f"{' or '.join(joined.columns)}: column {', '.join(needed)} not found. The cohort '{spec.name}' needs it; "
            f"{files}. {f'Is {chr(44).join(near)} meant? ' if near else ''}Correct the file or the cohort's YAML."
        )
    if absent:
        logger.info("%s has no column %s: not known in any row", " or ".join(joined.columns), ", ".join(absent))
    return raw.assign(**dict.fromkeys(absent, ""))


def _image_ids(spec: CohortSpec, raw: pd.DataFrame, problems: Problems) -> pd.Series:
    ids = raw[spec.image_id]
    if spec.image_id_is_path:
        known = {*PICTURE_SUFFIXES, *_FURTHER_SUFFIXES, *(spec.images.suffixes if spec.images else [])}
        ids = ids.map(lambda text: _stem(_path(text).name, known))
    problems.note(spec.image_id, raw[spec.image_id], missing_id(ids, spec), "no image id")
    unsafe = ids.str.contains(r"[/\\\x00]", regex=True) | ids.isin([".", ".."])
    problems.note(spec.image_id, raw[spec.image_id], unsafe, "an image id may not contain a path separator")
    return ids


def _path(text: str) -> PurePosixPath:
    return PurePosixPath(text.replace("\\", "/"))


def _stem(name: str, suffixes: Collection[str]) -> str:
    """A file's name without its suffix, where that is one of a picture: a.left keeps its."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix.lower()}" in suffixes else name


def _joined_ids(
    spec: CohortSpec, raw: pd.DataFrame, columns: list[str], alone: pd.Series
) -> tuple[pd.Series, pd.Series]:
    """Join id columns with `_`, and say where all of them are known; elsewhere the row stands `alone`."""
    if not columns:
        return alone, pd.Series(False, index=raw.index)
    joined = raw[columns[0]].str.cat([raw[column] for column in columns[1:]], sep="_")
    if len(columns) > 1 and joined.nunique() < len(raw[columns].drop_duplicates()):
        twice = raw[columns].drop_duplicates().assign(joined=joined)
        one, other = twice[twice["joined"].duplicated(keep=False)].sort_values("joined").head(2)[columns].to_numpy()
        raise ValueError(
            f"cohort {spec.name}: {', '.join(columns)} are joined to one id by '_', which makes {' and '.join(one)} "
            f"the same as {' and '.join(other)}. Give these ids another form."
        )
    known = ~raw[columns].apply(missing_id, args=(spec,)).any(axis=1)
    return joined.where(known, alone), known


def _folders(spec: CohortSpec, raw: pd.DataFrame) -> pd.Series:
    """The folder that an image id which is a path names; empty where it names none."""
    if not spec.image_id_is_path:
        return pd.Series("", index=raw.index, dtype="str")
    folders = raw[spec.image_id].map(lambda text: "/".join(part for part in _path(text).parent.parts if part != "."))
    return folders.astype("str")


def _told_by_lesion(rows: pd.DataFrame, lesion_known: pd.Series) -> list[str]:
    """A row without patient id is of the patient to whom the other rows of its lesion belong."""
    known = rows[rows["patient_known"] & lesion_known]
    owners = known.groupby("lesion_id")["patient_id"].agg(["first", "nunique"])
    owner = rows["lesion_id"].map(owners.loc[owners["nunique"] == 1, "first"])
    told = ~rows["patient_known"] & lesion_known & owner.notna()
    if not told.any():
        return []
    rows.loc[told, "patient_id"], rows.loc[told, "patient_known"] = owner[told], True
    return [f"{told.sum():,} rows without patient id belong to the patient of their lesion's other rows"]


def _find_repeats(raw: pd.DataFrame, rows: pd.DataFrame, problems: Problems) -> None:
    ids = rows["image_id"]
    if not ids.duplicated().any():
        return
    repeats_first = raw.duplicated(keep="first")
    problems.note("image_id", ids, repeats_first, "the row repeats an earlier row")
    conflicting = ids[~repeats_first].duplicated(keep=False).reindex(ids.index, fill_value=False)
    reason = "several rows with different values have this image id"
    if (rows["image_folder"] != "").any():
        reason += " (folder and suffix are dropped by image_id_is_path: ids must differ without them)"
    problems.note("image_id", ids, conflicting, reason)


def _find_shared_lesions(rows: pd.DataFrame, problems: Problems) -> None:
    """A lesion under two patients would let one lesion cross a patient-disjoint split."""
    num_patients = rows.groupby("lesion_id")["patient_id"].transform("nunique")
    problems.note("lesion_id", rows["lesion_id"], num_patients > 1, "this lesion stands under several patients")
