"""Texts as they are meant: one Unicode form, no characters that nobody sees."""

import re
import unicodedata

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_FORM_LENGTH = 40
_BLANKS = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")


def as_meant(text: str) -> str:
    """A text in Unicode's form NFC, without invisible characters, odd blanks as plain ones, none at its ends."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFC", _BLANKS.sub(" ", _INVISIBLE.sub("", text))).strip()


def in_one_line(text: str) -> str:
    """A name of a file as it is shown: line breaks, and what a terminal would obey, as Python writes them."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def form_of(text: str) -> str:
    """What a text looks like, without what it says: `IMG_07.jpg` is `AAA_00.aaa`. Notes show it in place of ids."""
    letters = ("A" if letter.isupper() else "a" if letter.isalpha() else letter for letter in text[:_FORM_LENGTH])
    return re.sub(r"\d", "0", "".join(letters)) + ("…" if len(text) > _FORM_LENGTH else "")


def table_as_meant(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """A table whose cells are texts as they are meant; its columns are named so already.

    Returns:
        The table, and per column whose cells changed how many did.
    """
    changed = {}
    for name in frame:
        cells = frame[name]
        if pc.all(pc.string_is_ascii(pa.array(cells, from_pandas=True))).as_py():
            continue  # most columns are, and this costs next to nothing
        odd = [text for text in cells.unique() if not text.isascii() and as_meant(text) != text]
        if odd:
            changed[str(name)] = int(cells.isin(odd).sum())
            frame[name] = cells.replace({text: as_meant(text) for text in odd})
    return frame, changed
