"""Image files and rows brought together: every file belongs to a row, or is listed with the reason why not."""

import filecmp
from dataclasses import dataclass

import pandas as pd

from slimp_pipeline.cohorts.ids import match_ids
from slimp_pipeline.cohorts.named_folders import ABSENT, OTHER, OWN, compare_folders
from slimp_pipeline.cohorts.rows.reader import Reading
from slimp_pipeline.cohorts.spec import CohortSpec

UNUSED_COLUMNS = ["path", "key", "image_id", "unused", "reason"]
CONFLICT = "conflict"


@dataclass(frozen=True)
class MatchedFiles:
    """Files by what becomes of them.

    Attributes:
        images: One file per row that has one: image_id (the row's), path, key, size_bytes, mtime_ns.
        unused: Every other file: path, key, image_id (empty where it names none), unused (kind of reason), reason.
        notes: What is worth saying, in sentences.
    """

    images: pd.DataFrame
    unused: pd.DataFrame
    notes: list[str]


def match_files(spec: CohortSpec, reading: Reading, raw_files: pd.DataFrame) -> MatchedFiles:
    """Match image files to rows by their ids.

    Args:
        spec: The cohort.
        reading: Its rows.
        raw_files: Its files as `find_raw_files` lists them.

    Raises:
        ValueError: If images are there, and none bears the id of a row.
    """
    found = raw_files[raw_files["role"] == "image"]
    own = reading.quarantine.loc[reading.quarantine["image_id"].ne(""), "image_id"]
    matching = match_ids([*reading.rows["image_id"], *own], found["image_id"])
    row_id = found["image_id"].map(matching.row_of).astype("str")
    if len(found) and row_id.isna().all():
        raise ValueError(_none_matches(spec, reading, found))
    elsewhere, told = _folders(raw_files, row_id, reading.rows)
    row_id = row_id.mask(elsewhere)
    without_row, set_aside = row_id.isna(), ~row_id.isin(reading.rows["image_id"])
    matched = found.assign(image_id=row_id)[~set_aside]
    chosen, doubled = _one_each(matched)
    unused = [
        raw_files[raw_files["role"] == "unused"],
        _as_unused(found[elsewhere], "other_folder", "its row names another folder"),
        _as_unused(found[without_row & ~elsewhere], "no_row", "no row has its image id"),
        _as_unused(found.assign(image_id=row_id)[set_aside & ~without_row], "row_set_aside", "its row is quarantined"),
        doubled,
    ]
    columns = ["image_id", "path", "key", "size_bytes", "mtime_ns"]
    return MatchedFiles(
        chosen[columns].reset_index(drop=True),
        pd.concat(unused)[UNUSED_COLUMNS].reset_index(drop=True),
        [*matching.notes, *told],
    )


def _none_matches(spec: CohortSpec, reading: Reading, found: pd.DataFrame) -> str:
    said = f"cohort {spec.name}: {len(found):,} images are there, but none bears the image id of a row"
    if reading.rows.empty:
        reasons = reading.quarantine["reason"].value_counts()
        return f"{said}: every row is quarantined, {reasons.iloc[0]:,} x {reasons.index[0]}"
    row, file = reading.rows["image_id"].iloc[0], found["image_id"].iloc[0]
    said += f" (the first row's is {row!a}, the first file's {file!a}). An image's id is its file's name without suffix"
    if spec.image_id_is_path:
        return f"{said}."
    return f"{said}; where column '{spec.image_id}' holds paths, set image_id_is_path: true in the cohort's YAML."


def _folders(raw_files: pd.DataFrame, row_id: pd.Series, rows: pd.DataFrame) -> tuple[pd.Series, list[str]]:
    """Which files lie elsewhere than their row says; and a note where rows name folders that aren't there.

    Where some file lies in the folder that its row names, folders mean something, and a file in another is another
    file. Where none does (paths of another machine, files moved into one folder), names alone count.
    """
    named = row_id.map(rows.set_index("image_id")["image_folder"]).fillna("")
    named = named[named.ne("") & raw_files.loc[named.index, "key"].eq("")]
    told = compare_folders(named, raw_files.loc[named.index, "path"], raw_files["path"].tolist())
    meant = told.eq(OWN).any()
    elsewhere = (told.ne(OWN) if meant else told.eq(OTHER)).reindex(row_id.index, fill_value=False)
    absent = named[told.eq(ABSENT)]
    if meant or absent.empty:
        return elsewhere, []
    return elsewhere, [f"{len(absent):,} rows name a folder that isn't there: the names of files alone count"]


def _one_each(matched: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The file of each row; and the others: copies of it, and files that differ, of which none is taken."""
    repeated = matched["image_id"].duplicated(keep=False)
    if not repeated.any():
        return matched, _as_unused(matched.iloc[:0], "", "")
    parts, chosen = [], [matched[~repeated]]
    for _, group in matched[repeated].groupby("image_id", sort=False):
        first = group.iloc[0]
        if all(_same_bytes(first, other) for _, other in group.iloc[1:].iterrows()):
            chosen.append(group.iloc[:1])
            parts.append(_as_unused(group.iloc[1:], "copy", "a copy of the file that is read as its row's"))
        else:
            parts.append(_as_unused(group, CONFLICT, "several files, which differ, have its image id"))
    return pd.concat(chosen).sort_index(), pd.concat(parts)


def _same_bytes(one: pd.Series, other: pd.Series) -> bool:
    if one["key"] or other["key"]:
        return False
    try:
        return bool(one["size_bytes"] == other["size_bytes"]) and filecmp.cmp(one["path"], other["path"], shallow=False)
    except OSError:
        return False


def _as_unused(files: pd.DataFrame, kind: str, reason: str) -> pd.DataFrame:
    return files.assign(unused=kind, reason=reason)
