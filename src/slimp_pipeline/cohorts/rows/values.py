"""Cells as text to numbers, categories and booleans; what can't be read is set aside."""

import html
import math
import re
import unicodedata
from collections.abc import Collection, Iterable

import pandas as pd

from slimp_pipeline.cohorts.rows.problems import Problems
from slimp_pipeline.cohorts.spec import MISSING_ID_TOKENS, MISSING_TOKENS, CohortSpec, FieldSpec

TRUE, FALSE = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no"}
_LOOKS_LATIN = str.maketrans("авекмнорстухіј", "abekmhopctyxij")
_DECIMAL_COMMA = r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+"
_POINTS_FOR_THOUSANDS = r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+"
_SEVERAL_GROUPS = r"[+-]?[1-9]\d{0,2}([.,])\d{3}(?:\1\d{3})+"
_THOUSANDS = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?"


def read_field(name: str, field: FieldSpec, raw: pd.DataFrame, problems: Problems) -> dict[str, pd.Series]:
    """Columns of one field: float, text, or one boolean column per option of a checkbox group."""
    if field.kind == "numeric":
        return {name: _numbers(field, raw, problems)}
    if field.kind == "categorical":
        return {name: _categories(field, raw, problems)}
    return {f"{name}.{option}": _booleans(raw[column], field, problems) for option, column in field.options.items()}


def is_missing(
    text: pd.Series,
    tokens: Collection[str] = (),
    *,
    listed: Collection[str] = (),
    common: Collection[str] = MISSING_TOKENS,
) -> pd.Series:
    """Where a cell means "not known": a common token or one of `tokens`, case aside, unless it is `listed` as it is."""
    unknown = {token.lower() for token in common} | {token.lower() for token in tokens}
    known = {text.lower() for text in listed}  # `none` where the vocabulary lists None: a slip, not a gap
    return text.str.lower().isin(unknown - known) | (text == "")


def missing_id(cells: pd.Series, spec: CohortSpec) -> pd.Series:
    """Where an id means "not known"."""
    return is_missing(cells, spec.missing, common=MISSING_ID_TOKENS)


def folded(text: str) -> str:
    """A text without what spellings of one thing differ by.

    Case, blanks, a trailing .0, accents, punctuation at its end, HTML entities, Cyrillic letters that look Latin.
    """
    text = unicodedata.normalize("NFKD", html.unescape(text)).casefold().translate(_LOOKS_LATIN)
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    text = re.sub(r"^(-?\d+)\.0+$", r"\1", re.sub(r"\s+", " ", text).strip())
    return text.rstrip(" .,;:") or text


def spellings(texts: Iterable[str]) -> dict[str, list[str]]:
    """Texts by their folded one, in order: those of an entry differ by spelling alone."""
    alike: dict[str, list[str]] = {}
    for text in dict.fromkeys(texts):
        alike.setdefault(folded(text), []).append(text)
    return alike


def nearly(names: Collection[str], texts: Iterable[str]) -> dict[str, list[str]]:
    """By name, the texts that differ from it by spelling alone; names without any aren't there."""
    alike = spellings(sorted(texts)) if len(names) else {}
    near = {name: [text for text in alike.get(folded(name), []) if text != name] for name in names}
    return {name: found for name, found in near.items() if found}


def _numbers(field: FieldSpec, raw: pd.DataFrame, problems: Problems) -> pd.Series:
    column = str(field.column)
    text = raw[column].replace(field.rename) if field.rename else raw[column]
    missing = is_missing(text, field.missing)
    if numbers_for_missing := _as_numbers(field.missing):
        missing |= pd.to_numeric(text, errors="coerce").isin(numbers_for_missing)  # 999 is 999.0
    plain, unclear = _with_decimal_points(text.where(~missing, ""), field.decimal)
    problems.note(
        column, text, unclear, "a comma or point before three digits: decimals or thousands? Set `decimal` of the field"
    )
    numbers = pd.to_numeric(plain.where(~missing & ~unclear), errors="coerce").astype(float) * field.scale
    problems.note(column, text, ~missing & ~unclear & numbers.isna(), "not a number")
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    outside = (numbers < low) | (numbers > high) | numbers.abs().eq(math.inf)
    problems.note(column, text, outside, f"impossible: outside {low:g} to {high:g}")
    return numbers


def _as_numbers(texts: Collection[str]) -> list[float]:
    return pd.to_numeric(pd.Series(texts, dtype="str"), errors="coerce").dropna().tolist()


def _with_decimal_points(text: pd.Series, decimal: str | None) -> tuple[pd.Series, pd.Series]:
    """Numbers with points, and where a comma can't be read.

    A column's commas are decimal where one of its numbers can't be grouped in thousands (0,5; 12,25), and part
    thousands where one has a point besides (1,234.5) or is grouped twice (1,234,567). Where commas are decimal, points
    part thousands, if that is declared or a number shows it (1.234,5; 1.234.567); else 1.500 can't be read.
    """
    with_comma = text.str.contains(",", regex=False)
    nothing = pd.Series(False, index=text.index)
    if not with_comma.any() and decimal != ",":
        return text, nothing
    decimals, thousands = text.str.fullmatch(_DECIMAL_COMMA), text.str.fullmatch(_THOUSANDS)
    by_point, several = text.str.fullmatch(_POINTS_FOR_THOUSANDS), text.str.fullmatch(_SEVERAL_GROUPS)
    grouped = (decimals & text.str.contains(".", regex=False)) | (by_point & several)
    points_are_clear = decimal == "," or grouped.any()
    if decimal is None and (decimals & ~thousands).any():
        decimal = ","
    elif decimal is None and (thousands & (several | text.str.contains(".", regex=False))).any():
        decimal = "."
    if decimal == ",":
        plain = text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        return text.where(~(decimals | by_point), plain), nothing if points_are_clear else by_point
    if decimal == ".":
        return text.where(~thousands, text.str.replace(",", "", regex=False)), nothing
    return text, decimals & thousands


def _categories(field: FieldSpec, raw: pd.DataFrame, problems: Problems) -> pd.Series:
    column = str(field.column)
    missing = is_missing(raw[column], field.missing, listed=[*(field.categories or []), *field.rename])
    text = raw[column].replace(field.rename) if field.rename else raw[column]
    if field.categories is not None:
        unknown = ~missing & ~text.isin(field.categories)
        problems.note(column, raw[column], unknown, unknown_reasons("category", text[unknown], field.categories))
    return text.where(~missing)


def unknown_reasons(what: str, texts: pd.Series, known: Collection[str]) -> pd.Series:
    """Reasons for texts outside a vocabulary, with the one that is nearly alike."""
    reason = f"unknown {what}: known are {', '.join(known)}"
    met = texts.unique()
    near = nearly(met, known)
    return texts.map({text: f"{reason}; is '{near[text][0]}' meant?" if text in near else reason for text in met})


def _booleans(cells: pd.Series, field: FieldSpec, problems: Problems) -> pd.Series:
    text = cells.replace(field.rename) if field.rename else cells
    lower, absent = text.str.lower(), is_missing(text, field.missing)
    reason = "neither true nor false: read are true, false, yes, no, 1, 0; others by `rename` of the field"
    problems.note(str(cells.name), cells, ~absent & ~lower.isin(TRUE | FALSE), reason)
    return lower.isin(TRUE).astype("boolean").where(~absent)
