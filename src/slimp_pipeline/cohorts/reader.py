"""Raw tables to lesion rows: one reader for every cohort, driven by its specification."""

import logging
import math
from pathlib import Path, PurePosixPath

import pandas as pd

from slimp_pipeline.cohorts.csv_table import read_csv_table
from slimp_pipeline.cohorts.spec import MISSING_TOKENS, CohortSpec, FieldSpec, LabelSpec, TableSpec

logger = logging.getLogger(__name__)
QUARANTINE_COLUMNS = ["image_id", "line", "column", "value", "reason"]
TRUE, FALSE = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no"}


def read_rows(spec: CohortSpec, table_paths: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a cohort's tables into one row per image, and set aside the rows that break.

    Args:
        spec: The cohort.
        table_paths: The files of `spec.tables` that exist, in that order.

    Returns:
        rows: image_id, lesion_id, patient_id, patient_known (bool), diagnosis (text or missing),
            malignant (boolean or missing), one column per field (numeric: float; categorical: text;
            checkbox: one boolean column `field.option` per option).
        quarantine: image_id, line (in the first table), column, value, reason; a row may stand there
            more than once.

    Raises:
        ValueError: If a column is missing or a table can't be read; names the file and the column.
    """
    raw = _with_columns(spec, _join(spec, table_paths), table_paths[0])
    problems: list[pd.DataFrame] = []
    rows = pd.DataFrame({"image_id": _image_ids(spec, raw, problems)}, index=raw.index)
    rows["lesion_id"], lesion_known = _joined_ids(raw, spec.lesion_id, rows["image_id"], "image:" + rows["image_id"])
    alone = ("lesion:" + rows["lesion_id"]).where(lesion_known, "image:" + rows["image_id"])
    patients = spec.patient_id or spec.lesion_id
    rows["patient_id"], rows["patient_known"] = _joined_ids(raw, patients, rows["image_id"], alone)
    for name, field in spec.fields.items():
        for column, values in _field(name, field, raw, problems).items():
            rows[column] = values
    rows["diagnosis"], rows["malignant"] = _labels(spec.label, raw, problems)
    _find_repeats(raw, rows, problems)
    _find_shared_lesions(rows, problems)
    quarantine = pd.concat([pd.DataFrame(columns=["column", "value", "reason"]), *problems])
    quarantine.index.name = "line"
    quarantine = quarantine.reset_index()
    quarantine.insert(0, "image_id", rows["image_id"].reindex(quarantine["line"]).to_numpy())
    good = rows.drop(index=quarantine["line"].unique()).reset_index(drop=True)
    return good, quarantine.astype({"line": int}).astype({name: str for name in QUARANTINE_COLUMNS if name != "line"})[
        QUARANTINE_COLUMNS
    ].sort_values(["line", "column"], ignore_index=True)


def _join(spec: CohortSpec, paths: list[Path]) -> pd.DataFrame:
    joined: pd.DataFrame | None = None
    for table in spec.tables:
        path = next((path for name in table.file for path in paths if _ends_with(path, Path(name))), None)
        if path is None:
            continue
        frame = read_csv_table(path, table.separator).rename(columns=table.rename)
        joined = frame if joined is None else _left_join(spec, joined, frame, table, path)
    assert joined is not None  # a specification has at least one required table
    return joined


def _ends_with(path: Path, name: Path) -> bool:
    return path.parts[-len(name.parts) :] == name.parts


def _left_join(spec: CohortSpec, left: pd.DataFrame, right: pd.DataFrame, table: TableSpec, path: Path) -> pd.DataFrame:
    key = str(table.join_on)
    if key not in right.columns or key not in left.columns:
        raise ValueError(f"{path}: no column '{key}' to join on. Its columns: {', '.join(right.columns)}")
    if repeated := right.loc[right[key].duplicated(), key].tolist():
        raise ValueError(f"{path}: {key} {repeated[0]} stands in several rows. Keep one row per {key}.")
    known = set(left.columns) - {key}
    merged = left[[key]].merge(right.drop(columns=[c for c in right if c in known]), on=key, how="left")
    merged.index = left.index
    return left.join(merged.drop(columns=key).fillna(""))


def _with_columns(spec: CohortSpec, raw: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Require the columns that are read, and fill in the optional ones that aren't there."""
    absent = sorted(set(spec.columns) - set(raw.columns))
    if needed := [column for column in absent if column not in spec.optional]:
        raise ValueError(
            f"{path}: column {', '.join(needed)} not found. The cohort '{spec.name}' needs it; the file "
            f"has: {', '.join(raw.columns)}. Correct the file or the cohort's YAML."
        )
    if absent:
        logger.info("%s has no column %s: not known in any row", path.name, ", ".join(absent))
    return raw.assign(**dict.fromkeys(absent, ""))


def _image_ids(spec: CohortSpec, raw: pd.DataFrame, problems: list[pd.DataFrame]) -> pd.Series:
    ids = raw[spec.image_id]
    if spec.image_id_is_path:
        ids = ids.map(lambda text: PurePosixPath(text.replace("\\", "/")).stem)
    _note(problems, spec.image_id, raw, _is_missing(ids, []), "no image id")
    unsafe = ids.str.contains(r"[/\\\x00]", regex=True) | ids.isin([".", ".."])
    _note(problems, spec.image_id, raw, unsafe, "an image id may not contain a path separator")
    return ids


def _joined_ids(
    raw: pd.DataFrame, columns: list[str], image_ids: pd.Series, alone: pd.Series
) -> tuple[pd.Series, pd.Series]:
    """Join id columns with `_`, and say where all of them are known; elsewhere the row stands `alone`."""
    if not columns:
        return image_ids, pd.Series(False, index=raw.index)
    joined = raw[columns[0]].str.cat([raw[column] for column in columns[1:]], sep="_")
    known = ~raw[columns].isin(MISSING_TOKENS).any(axis=1)
    return joined.where(known, alone), known


def _field(name: str, field: FieldSpec, raw: pd.DataFrame, problems: list[pd.DataFrame]) -> dict[str, pd.Series]:
    if field.kind == "numeric":
        return {name: _numbers(field, raw, problems)}
    if field.kind == "categorical":
        return {name: _categories(field, raw, problems)}
    return {
        f"{name}.{option}": _booleans(column, field.missing, raw, problems) for option, column in field.options.items()
    }


def _numbers(field: FieldSpec, raw: pd.DataFrame, problems: list[pd.DataFrame]) -> pd.Series:
    column = str(field.column)
    text = raw[column]
    missing = _is_missing(text, field.missing)
    numbers = pd.to_numeric(text.where(~missing), errors="coerce").astype(float) * field.scale
    _note(problems, column, raw, ~missing & numbers.isna(), "not a number")
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    outside = (numbers < low) | (numbers > high) | numbers.abs().eq(math.inf)
    _note(problems, column, raw, outside, f"impossible: outside {low:g} to {high:g}")
    return numbers


def _categories(field: FieldSpec, raw: pd.DataFrame, problems: list[pd.DataFrame]) -> pd.Series:
    column = str(field.column)
    missing = _is_missing(raw[column], field.missing)
    text = raw[column].replace(field.rename) if field.rename else raw[column]
    if field.categories is not None:
        unknown = ~missing & ~text.isin(field.categories)
        _note(problems, column, raw, unknown, f"unknown category: known are {', '.join(field.categories)}")
    return text.where(~missing)


def _booleans(column: str, missing: list[str], raw: pd.DataFrame, problems: list[pd.DataFrame]) -> pd.Series:
    text = raw[column].str.lower()
    absent = _is_missing(raw[column], missing)
    _note(problems, column, raw, ~absent & ~text.isin(TRUE | FALSE), "neither true nor false")
    return text.isin(TRUE).astype("boolean").where(~absent)


def _labels(label: LabelSpec | None, raw: pd.DataFrame, problems: list[pd.DataFrame]) -> tuple[pd.Series, pd.Series]:
    if label is None:
        nothing = pd.Series(pd.NA, index=raw.index)
        return nothing.astype("str"), nothing.astype("boolean")
    text = _one_hot(label.one_hot, raw, problems) if label.one_hot else raw[str(label.column)]
    missing = _is_missing(text, label.missing)
    diagnosis = text
    if label.classes:
        column = label.column or label.one_hot[0]
        unknown = ~missing & ~text.isin(list(label.classes))
        _note(problems, column, raw, unknown, f"unknown label: known are {', '.join(label.classes)}", text)
        diagnosis = text.map(label.classes)
    diagnosis = diagnosis.where(~missing).astype("str")
    decided = diagnosis.notna() & ~diagnosis.isin(label.indeterminate)
    malignant = diagnosis.isin(label.malignant).astype("boolean").where(decided & bool(label.malignant))
    return diagnosis, malignant


def _one_hot(columns: list[str], raw: pd.DataFrame, problems: list[pd.DataFrame]) -> pd.Series:
    marked = pd.DataFrame(index=raw.index)
    for column in columns:
        numbers = pd.to_numeric(raw[column].where(~_is_missing(raw[column], [])), errors="coerce")
        _note(problems, column, raw, ~_is_missing(raw[column], []) & numbers.isna(), "not a number")
        marked[column] = numbers > 0
    _note(problems, columns[0], raw, marked.sum(axis=1) > 1, f"several of {', '.join(columns)} are set")
    return marked.idxmax(axis=1).where(marked.any(axis=1), "")


def _find_repeats(raw: pd.DataFrame, rows: pd.DataFrame, problems: list[pd.DataFrame]) -> None:
    ids = rows["image_id"]
    if not ids.duplicated().any():
        return
    repeats_first = raw.duplicated(keep="first")
    _note(problems, "image_id", raw, repeats_first, "the row repeats an earlier row", ids)
    conflicting = ids[~repeats_first].duplicated(keep=False).reindex(ids.index, fill_value=False)
    _note(problems, "image_id", raw, conflicting, "several rows with different values have this image id", ids)


def _find_shared_lesions(rows: pd.DataFrame, problems: list[pd.DataFrame]) -> None:
    """A lesion under two patients would let one lesion cross a patient-disjoint split."""
    num_patients = rows.groupby("lesion_id")["patient_id"].transform("nunique")
    _note(problems, "lesion_id", rows, num_patients > 1, "this lesion stands under several patients")


def _is_missing(text: pd.Series, tokens: list[str]) -> pd.Series:
    return text.isin(MISSING_TOKENS.union(tokens))


def _note(
    problems: list[pd.DataFrame],
    column: str,
    raw: pd.DataFrame,
    broken: pd.Series,
    reason: str,
    values: pd.Series | None = None,
) -> None:
    """Set rows aside: one quarantine entry per broken row."""
    if broken.any():
        shown = (raw[column] if values is None else values)[broken]
        problems.append(pd.DataFrame({"column": column, "value": shown, "reason": reason}))
