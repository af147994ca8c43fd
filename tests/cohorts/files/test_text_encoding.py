"""Encodings of text files."""

import codecs
import io
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.cohorts.files import text_encoding
from slimp_pipeline.cohorts.files.text_encoding import find_text_encoding

PATH = Path("table.csv")
TABLE = "Größe,Ort\n5 µm,Rücken\n"


def find(raw: bytes) -> tuple[str, int]:
    return find_text_encoding(io.BytesIO(raw), PATH)


@pytest.mark.parametrize(
    ("raw", "codec", "start", "said"),
    [
        (b"", "utf-8", 0, None),
        (b"a,b\n", "utf-8", 0, None),
        (TABLE.encode(), "utf-8", 0, None),
        (TABLE.encode("utf-8-sig"), "utf-8", 3, None),
        (codecs.BOM_UTF16_LE + TABLE.encode("utf-16-le"), "utf-16-le", 2, "UTF-16"),
        (codecs.BOM_UTF16_BE + TABLE.encode("utf-16-be"), "utf-16-be", 2, "UTF-16"),
        (codecs.BOM_UTF32_LE + TABLE.encode("utf-32-le"), "utf-32-le", 4, "UTF-32"),
        (codecs.BOM_UTF32_BE + TABLE.encode("utf-32-be"), "utf-32-be", 4, "UTF-32"),
        (TABLE.encode("utf-16-le"), "utf-16-le", 0, "UTF-16"),
        (TABLE.encode("utf-16-be"), "utf-16-be", 0, "UTF-16"),
        ("病変,部位\n一,背中\n".encode("utf-16-le"), "utf-16-le", 0, "UTF-16"),
        (TABLE.encode("cp1252"), "cp1252", 0, "Windows-1252"),
        ("Preis\n5 €\n".encode("cp1252"), "cp1252", 0, "Windows-1252"),
        ("avis\né\xa0»\nété\nâgé\n".encode("cp1252"), "cp1252", 0, "Windows-1252"),
        (b"a,b\n1,\0\n", "utf-8", 0, None),
    ],
)
def test_an_encoding_is_found_and_said_unless_it_is_utf8(
    raw: bytes, codec: str, start: int, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert find(raw) == (codec, start)
    assert caplog.messages == ([f"table.csv is read as {said} text"] if said else [])


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("chunk_bytes", [1, 2, 5, 2**20])
@pytest.mark.parametrize("line", [1, 2, 500])
def test_text_that_fits_no_encoding_is_refused_with_its_line(
    monkeypatch: pytest.MonkeyPatch, ends: bytes, chunk_bytes: int, line: int
) -> None:
    monkeypatch.setattr(text_encoding, "_CHUNK_BYTES", chunk_bytes)
    raw = (b"a,leg" + ends) * (line - 1) + b"1,\x81" + ends + b"2,\x8d" + ends
    with pytest.raises(ValueError, match=rf"table.csv, line {line}: not UTF-8, and not Windows-1252 either\. Save"):
        find(raw)


@pytest.mark.parametrize("byte", [0x81, 0x8D, 0x8F, 0x90, 0x9D])
def test_bytes_that_windows_1252_lacks_are_refused(byte: int) -> None:
    with pytest.raises(ValueError, match=r"line 3: not UTF-8"):
        find(b"a,b\n1,x\n2," + bytes([byte]) + b"\n")


def test_a_file_that_is_utf8_but_for_a_line_is_refused_rather_than_garbled() -> None:
    raw = b"Ort\n" + "Rücken\n".encode() * 3 + "Füße\n".encode("cp1252")
    with pytest.raises(ValueError, match=r"line 5: not UTF-8, as other lines are\. Save the whole file"):
        find(raw)


@pytest.mark.parametrize(
    ("raw", "line", "name"),
    [
        (codecs.BOM_UTF8 + b"a\nb\n\xe4\n", 3, "UTF-8"),
        (codecs.BOM_UTF16_LE + "a\nb\n".encode("utf-16-le") + b"\x00\xd8\n\0", 3, "UTF-16"),
        (codecs.BOM_UTF16_LE + "a\nb\n".encode("utf-16-le") + b"c", 3, "UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le") * 5000 + b"\x00\xd8\n\0", 10001, "UTF-16"),
        (codecs.BOM_UTF32_LE + "a\nb\n".encode("utf-32-le") + b"\xff\xff\xff\xff", 3, "UTF-32"),
    ],
)
def test_text_that_breaks_the_encoding_that_it_begins_with_is_refused(raw: bytes, line: int, name: str) -> None:
    with pytest.raises(ValueError, match=rf"table.csv, line {line}: not {name}, as the file begins"):
        find(raw)


@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30), at=st.integers(0, 30)
)
def test_the_line_of_a_broken_byte_is_where_a_reader_would_meet_it(text: str, at: int) -> None:
    before = text[:at]
    with io.TextIOWrapper(io.BytesIO((before + "x").encode()), "utf-8", newline="") as reader:
        line = len(list(reader))
    with pytest.raises(ValueError, match=rf"table.csv, line {line}: not UTF-8"):
        find(before.encode() + b"\x81" + text[at:].encode())
