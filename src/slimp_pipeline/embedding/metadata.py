"""A table of metadata, brought to the pictures; whatever in it isn't read is named."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from slimp_pipeline.cohorts.files.table_file import read_table
from slimp_pipeline.cohorts.ids import match_ids
from slimp_pipeline.cohorts.spec import MISSING_ID_TOKENS, MISSING_TOKENS
from slimp_pipeline.cohorts.text import in_one_line, table_as_meant
from slimp_pipeline.parameters import EmbeddingParams
from slimp_pipeline.tables.encoding import (
    UNSEEN,
    CategoricalEncoding,
    Encoding,
    LevelEncoding,
    encode,
    unreadable_ticks,
)

_NUM_SHOWN = 3
_NONE, _NO_NAME = "no picture has this name", "it names no picture"
_SEVERAL = "several pictures have this name: write paths below the folder"


@dataclass(frozen=True)
class PictureRows:
    """Rows of a metadata table in the order of N pictures.

    Attributes:
        fields: The encoder's fields that the table has, N rows; None where nothing is known.
        has_row_N: Whether a picture has a row, bool.
        lesion_id_N: Its lesion; None where the table says none. None instead of all where there is no such column.
        unmatched: Rows without a picture: line of the table -> the picture that it names, and why it is none.
        notes: What is worth saying, in sentences.
    """

    fields: pd.DataFrame
    has_row_N: np.ndarray
    lesion_id_N: np.ndarray | None
    unmatched: dict[int, tuple[str, str]]
    notes: list[str]


def read_rows(path: Path, pictures: pd.DataFrame, encoding: Encoding, settings: EmbeddingParams) -> PictureRows:
    """Read a table, CSV, Excel or Parquet, and find each picture's row.

    A row names its picture by the name of its file, with or without suffix, or where the table holds paths by its path
    below the folder.

    Args:
        path: The table.
        pictures: picture, image_id.
        encoding: The encoder's; columns are read by the names of its fields, in the units of these names.
        settings: Columns that name picture, lesion and patient; the latter two needn't be there where they are the
            defaults.

    Raises:
        ValueError: If the table can't be read, has no such column, or two rows for a picture; or none is of a picture.
    """
    table = read_table(path)
    _require_columns(path, table, settings)
    names = table[settings.image_column]  # as they stand: files are told apart by more than what is meant
    table, changed = table_as_meant(table)
    named = names.str.replace("\\", "/", regex=False).str.removeprefix("./")
    line_N, notes, why = _lines_of_pictures(path, named, pictures)
    has_row_N = line_N >= 0
    rows = table.reindex(np.where(has_row_N, line_N, -1)).reset_index(drop=True)
    wanted = [column for level in encoding.levels.values() for name in level.fields for column in level.columns(name)]
    fields = pd.DataFrame({name: _or_none(rows[name]) for name in wanted if name in rows}, index=rows.index)
    ids = {settings.image_column, settings.lesion_column, settings.patient_column}
    notes += _note_on_cells(changed, {*wanted, *ids} - {settings.image_column})
    notes += _notes_on_columns(table, wanted, ids)
    notes += [note for level in encoding.levels.values() for note in _notes_on_values(level, fields)]
    lesion_id_N, lesion_notes = _lesions(path, rows, has_row_N, settings)
    unmatched = names[~names.index.isin(line_N[has_row_N])]
    told = {int(line): (name, why[line]) for line, name in unmatched.items()}
    return PictureRows(fields, has_row_N, lesion_id_N, told, notes + lesion_notes)


def _require_columns(path: Path, table: pd.DataFrame, settings: EmbeddingParams) -> None:
    says = {
        "image_column": "whose row it is",
        "lesion_column": "of which lesion a picture is",
        "patient_column": "of which patient a lesion is",
    }
    for setting, what in says.items():
        name, usual = getattr(settings, setting), EmbeddingParams.model_fields[setting].default
        if name not in table and (name != usual or setting == "image_column"):  # by their usual names others may lack
            raise ValueError(
                f"{path}: no column `{name}`, which would say {what}. It has: {', '.join(table)}. Name the right one: "
                f"--params=embedding.{setting}=..."
            )


def _lesions(
    path: Path, rows: pd.DataFrame, has_row_N: np.ndarray, settings: EmbeddingParams
) -> tuple[np.ndarray | None, list[str]]:
    """Lesion of each picture, None where none is known; None where there is no such column. And notes.

    Of ids that patients share, patient and lesion together are the id, joined by `_` as in cohorts.
    """
    lesion, patient = settings.lesion_column, settings.patient_column
    if lesion not in rows:
        return None, []
    notes, id_N = [], _or_none(rows[lesion], MISSING_ID_TOKENS)
    if without := int((has_row_N & id_N.isna().to_numpy()).sum()):
        notes.append(f"{without:,} pictures have a row without `{lesion}`, and stand in no lesion")
    if patient in rows:
        patient_N = _or_none(rows[patient], MISSING_ID_TOKENS)
        shared_N = patient_N.groupby(id_N).transform("nunique") > 1
        if shared_N.any():
            own_N = id_N.where(~shared_N, patient_N.str.cat(id_N, sep="_").astype(object))
            notes += _notes_on_shared(path, id_N[shared_N], patient_N[shared_N], own_N, settings)
            id_N = own_N
    return id_N.where(id_N.notna(), None).to_numpy(dtype=object), notes


def _notes_on_shared(
    path: Path, lesion_K: pd.Series, patient_K: pd.Series, own_N: pd.Series, settings: EmbeddingParams
) -> Iterator[str]:
    """Notes on K rows whose lesion ids patients share; refuses ids that joining made of several lesions."""
    lesion, patient, num_shared = settings.lesion_column, settings.patient_column, lesion_K.nunique()
    pairs = pd.DataFrame({"patient": patient_K, "lesion": lesion_K}).dropna().drop_duplicates()
    joined = set(own_N[lesion_K.index].dropna())
    if len(joined) < len(pairs) or joined & set(own_N.drop(lesion_K.index)):
        raise ValueError(
            f"{path}: {num_shared:,} lesion ids stand under several patients, and joined by `_` `{patient}` and "
            f"`{lesion}` don't tell lesions apart, either. Give these ids another form"
        )
    yield f"{num_shared:,} lesion ids stand under several patients: a lesion is told by `{patient}`, too"
    if without := int(patient_K.isna().sum()):
        yield (
            f"{without:,} pictures have a row without `{patient}`, and a lesion id that patients share: of which "
            "lesion they are isn't told, and they stand in none"
        )


def _lines_of_pictures(path: Path, named: pd.Series, pictures: pd.DataFrame) -> tuple[np.ndarray, list[str], pd.Series]:
    """Line of each picture's row, int64 (N,), -1 for none; how names were matched; why rows are of no picture."""
    given = named[named.ne("")]
    has_paths = given.str.contains("/", regex=False).any()
    whole_N = pictures["picture"] if has_paths else pictures["picture"].str.rpartition("/")[2]
    bare_N = pictures["picture"].map(_without_suffix) if has_paths else pictures["image_id"]
    by_whole_N = whole_N.isin(given) & ~whole_N.duplicated(keep=False)  # a suffix tells pictures of one stem apart
    is_shared_N = bare_N.duplicated(keep=False) & ~by_whole_N
    _require_one_row(path, given, whole_N[by_whole_N], bare_N[by_whole_N & ~bare_N.duplicated(keep=False)])
    names_N = bare_N.where(~by_whole_N, whole_N)
    matching = match_ids(given, names_N[~is_shared_N])
    row_id_N = names_N.where(~is_shared_N).map(matching.row_of)
    line_N = row_id_N.map(pd.Series(given.index, index=given.to_numpy())).fillna(-1).to_numpy(dtype=np.int64)
    if not (line_N >= 0).any():
        raise ValueError(
            f"{path}: no row is of a picture (its first: {given.iloc[0] if len(given) else 'none'!a}; the first "
            f"picture: {names_N.iloc[0]!a}). Rows name pictures by file name, or by path below the folder"
        )
    notes, shared_N = list(matching.notes), is_shared_N & (bare_N.isin(given) | whole_N.isin(given))
    if shared_N.any():
        notes.append(
            f"{shared_N.sum():,} pictures share their name with another ({_some(pictures.loc[shared_N, 'picture'])}): "
            "which of them a row means isn't told, unless the table holds paths"
        )
    why = pd.Series(_NONE, index=named.index).mask(named.isin([*bare_N[shared_N], *whole_N[shared_N]]), _SEVERAL)
    return line_N, notes, why.mask(named.eq(""), _NO_NAME)


def _require_one_row(path: Path, given: pd.Series, whole: pd.Series, bare: pd.Series) -> None:
    """Refuse two rows of one picture, with and without its suffix, too."""
    picture = given.map(dict(zip(bare, whole[bare.index], strict=True))).fillna(given)
    if (twice := picture[picture.duplicated(keep=False)]).size:
        lines = ", ".join(map(str, twice.index[twice.eq(twice.iloc[0])][:_NUM_SHOWN]))
        raise ValueError(
            f"{path}: several rows are of the picture {in_one_line(twice.iloc[0])} (lines {lines}). Keep one of them"
        )


def _without_suffix(picture: str) -> str:
    folder, slash, name = picture.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _or_none(column: pd.Series, missing: Collection[str] = MISSING_TOKENS) -> pd.Series:
    """Cells as text, None where nothing is known."""
    known = column.notna() & ~column.str.strip().str.lower().isin(missing)
    return column.astype(object).where(known, None)


def _note_on_cells(changed: dict[str, int], read: set[str]) -> Iterator[str]:
    if cells := ", ".join(f"{count:,} of {column}" for column, count in changed.items() if column in read):
        yield f"cells held invisible characters or another Unicode form, and are read without: {cells}"


def _notes_on_columns(table: pd.DataFrame, wanted: list[str], ids: set[str]) -> Iterator[str]:
    absent = [name for name in wanted if name not in table]
    if wanted and len(absent) == len(wanted):
        yield f"no column of the table is a field of the encoder; its fields are {', '.join(wanted)}"
    elif absent:
        yield f"the table lacks fields of the encoder, which count as not known: {', '.join(absent)}"
    if unread := [name for name in table if name not in {*wanted, *ids}]:
        yield f"columns that aren't fields of the encoder, and aren't read: {', '.join(unread)}"


def _notes_on_values(level: LevelEncoding, fields: pd.DataFrame) -> Iterator[str]:
    encoded = encode(level, fields)
    for column, name in enumerate(level.names("numeric")):
        if name in fields:
            odd = fields[name][np.isnan(encoded["numeric"][:, column]) & fields[name].notna().to_numpy()]
            if len(odd):
                yield f"{name}: {len(odd):,} values are no possible numbers and count as not known ({_some(odd)})"
    for column, name in enumerate(level.names("categorical")):
        if name in fields and len(odd := fields[name][encoded["categorical"][:, column] == UNSEEN]):
            told = level.fields[name]
            shown = isinstance(told, CategoricalEncoding) and not told.digested and told.categories
            known = f"; known are {', '.join(told.categories)}" if shown else ""  # type: ignore[union-attr]
            yield f"{name}: {len(odd):,} values were never met in training ({_some(odd)}{known})"
    for name in level.names("checkbox"):
        cells = fields[[column for column in level.columns(name) if column in fields]]
        if len(odd := cells.to_numpy(dtype=object)[unreadable_ticks(cells).to_numpy(dtype=bool)]):
            yield (
                f"{name}: {len(odd):,} cells are neither true nor false ({_some(odd)}), and in their rows the whole "
                "group counts as not known; read are true, false, yes, no, 1, 0"
            )


def _some(values: Iterable[object]) -> str:
    different = list(dict.fromkeys(map(in_one_line, map(str, values))))
    return ", ".join(different[:_NUM_SHOWN]) + (", …" if len(different) > _NUM_SHOWN else "")
