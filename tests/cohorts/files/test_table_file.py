"""Table files whatever their form."""

import csv
import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from slimp_pipeline.cohorts.files import table_file, unpacked_size
from slimp_pipeline.cohorts.files.table_file import read_table

NAMES = ["a", "b", "c"]
Rows = list[tuple[str, ...]]
CSV = b"a,b\n1,x\n2,y\n"


def write(folder: Path, content: bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def csv_bytes(rows: Rows, encoding: str, separator: str) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator).writerows([NAMES, *rows])
    return buffer.getvalue().encode(encoding)


def parquet_bytes(rows: Rows) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(NAMES)}), buffer)
    return buffer.getvalue()


def excel_bytes(rows: Rows) -> bytes:
    workbook, buffer = openpyxl.Workbook(), io.BytesIO()
    for number, row in enumerate([NAMES, *rows], start=1):
        for column, text in enumerate(row, start=1):
            if text:
                cell = workbook.active.cell(number, column, text)
                cell.data_type = "s"  # else a text that begins with = is a formula
    workbook.save(buffer)
    return buffer.getvalue()


PACKINGS: list[Callable[[bytes], bytes]] = [
    bytes,
    gzip.compress,
    lambda content: zipped(table=content),
    lambda content: gzip.compress(zipped(table=content)),
    lambda content: zipped(table=gzip.compress(content)),
]
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]), max_size=6).map(str.strip)
# no character from 0x80 to 0xBF: with one of those, an accented letter may be right in UTF-8 as well
WESTERN = st.text("abz ,;|\"'\tÄÖÜäöüßéèçñ", max_size=6).map(str.strip)
SMALL = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tables(text: st.SearchStrategy[str]) -> st.SearchStrategy[Rows]:
    return st.lists(st.tuples(text, text, text).filter(any), min_size=1, max_size=8)


def check(folder: Path, content: bytes, rows: Rows) -> None:
    table = read_table(write(folder, content))
    assert list(table.columns) == NAMES
    assert table.to_numpy().tolist() == [list(row) for row in rows]
    assert {str(dtype) for dtype in table.dtypes} == {"str"}
    assert (table.index.name, table.index[0]) == ("line", 2)


@pytest.mark.parametrize("packing", PACKINGS, ids=["plain", "gzip", "zip", "zip_in_gzip", "gzip_in_zip"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_csv_text_in_any_encoding_separator_and_packing_is_read_back(
    tmp_path: Path, data: st.DataObject, encoding: str, separator: str, packing: Callable[[bytes], bytes]
) -> None:
    rows = data.draw(tables(WESTERN if encoding == "cp1252" else TEXT))
    check(tmp_path, packing(csv_bytes(rows, encoding, separator)), rows)


@pytest.mark.parametrize("packing", PACKINGS, ids=["plain", "gzip", "zip", "zip_in_gzip", "gzip_in_zip"])
@pytest.mark.parametrize("form", [parquet_bytes, excel_bytes])
@SMALL
@given(data=st.data())
def test_parquet_and_excel_in_any_packing_are_read_back(
    tmp_path: Path, data: st.DataObject, form: Callable[[Rows], bytes], packing: Callable[[bytes], bytes]
) -> None:
    rows = data.draw(tables(TEXT))
    check(tmp_path, packing(form(rows)), rows)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_line_break_within_quotes_is_part_of_its_cell(tmp_path: Path, encoding: str, separator: str) -> None:
    rows = [("ä\nb", "1", "z"), ("c", "2\n\n3", ""), ("a, b; c\nd", "4", "ß")]
    check(tmp_path, csv_bytes(rows, encoding, separator), rows)


def test_the_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    for name in ("table.csv.gz", "table.xlsx", "table.parquet", "table.zip", "table"):
        assert read_table(write(tmp_path, CSV, name))["b"].tolist() == ["x", "y"]


def test_separator_and_sheet_reach_the_form_that_has_them(tmp_path: Path) -> None:
    framed = write(tmp_path, gzip.compress(b"||a||b||\n||1||x||\nLegend\n"))
    assert read_table(framed, separator="||")["b"].tolist() == ["x"]
    workbook = write(tmp_path, excel_bytes([("1", "2", "3")]))
    assert read_table(workbook, separator="||", sheet="Sheet")["b"].tolist() == ["2"]


def test_what_systems_put_beside_a_file_in_a_zip_is_ignored(tmp_path: Path) -> None:
    beside = {"data/": b"", "data/.DS_Store": b"?", "__MACOSX/data/._table.csv": b"?", ".hidden": b"?"}
    assert len(read_table(write(tmp_path, zipped(**beside, **{"data/table.csv": CSV}), "t.zip"))) == 2


def test_an_entry_stored_without_compression_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("table.csv", CSV)
    assert len(read_table(tmp_path / "t.zip")) == 2


def encrypted(content: bytes) -> bytes:
    """Set the flag of encryption in both headers of a zip file's only entry."""
    raw = bytearray(content)
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


def method_9(content: bytes) -> bytes:
    raw = bytearray(content)
    raw[8] = raw[raw.index(b"PK\x01\x02") + 10] = 9
    return bytes(raw)


MANY = {f"part_{i:02d}.csv": CSV for i in range(12)}
GZIPPED = gzip.compress("".join(["a,b\n", *(f"{i},{i * i}\n" for i in range(500))]).encode())
ZIPPED = zipped(t="".join(["a,b\n", *(f"{i},{i * i}\n" for i in range(500))]).encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(), r"holds no file\. Fetch it again"),
        (zipped(**{".DS_Store": b"?", "data/": b""}), "holds no file"),
        (zipped(**{"a.csv": CSV, "x/b.csv": CSV}), r"holds several files: a\.csv, x/b\.csv\. Unpack the right one"),
        (zipped(**MANY), r"several files: part_00\.csv, .*part_09\.csv, …\. Unpack"),
        (encrypted(zipped(t=CSV)), r"is protected by a password\. Unpack it"),
        (method_9(zipped(t=CSV)), r"is packed in a way that can't be read .*Unpack it"),
        (ZIPPED[:-12], r"is damaged .*Fetch it again"),
        (ZIPPED[:200], r"is damaged .*Fetch it again"),
        (ZIPPED[:60] + b"damage" + ZIPPED[66:], r"is damaged .*Fetch it again"),
        (GZIPPED[:-12], r"is damaged .*Fetch it again"),
        (GZIPPED[:20] + GZIPPED[28:], r"is damaged .*Fetch it again"),
        (GZIPPED + b"more", r"is damaged .*Fetch it again"),
        (gzip.compress(gzip.compress(gzip.compress(CSV))), "is packed several times over"),
        (gzip.compress(b""), "is empty"),
        (zipped(t=b"a,b\n1,2\n3\n"), r"table\.csv, line 3: 1 cells"),
        (gzip.compress(zipped(t=b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")), "is an old Excel workbook"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_archive_that_gives_no_table_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=r"table\.csv.* " + message.removeprefix("table\\.csv, ")):
        read_table(write(tmp_path, content))


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped(t=content)])
def test_an_archive_that_unpacks_to_an_absurd_size_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = write(tmp_path, pack(b"a\n" + bytes(101 * 2**20)))
    with pytest.raises(ValueError, match=r"table\.csv unpacks to 0\.1 GiB or more from 0\.1 MiB.*Is it the right file"):
        read_table(path)


def test_a_size_beyond_the_limit_is_refused_whatever_the_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacked_size, "_MOST_BYTES", 400)
    for content in (GZIPPED, ZIPPED, excel_bytes([("1", "2", "3")])):
        with pytest.raises(ValueError, match="more than a table can be"):
            read_table(write(tmp_path, content))
    assert len(read_table(write(tmp_path, gzip.decompress(GZIPPED)))) == 500


def test_a_large_archive_is_unpacked_to_disk_and_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "_MEMORY_BYTES", 100)
    assert len(read_table(write(tmp_path, GZIPPED))) == 500
    assert read_table(write(tmp_path, zipped(t=parquet_bytes([("1", "2", "3")]))))["c"].tolist() == ["3"]


def image(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, form)
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("table.csv")
        entry.size = len(CSV)
        archive.addfile(entry, io.BytesIO(CSV))
    return buffer.getvalue()


def feather() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame({"a": [1]}).to_feather(buffer)
    return buffer.getvalue()


OFFICE = {"[Content_Types].xml": b"<Types/>"}


@pytest.mark.parametrize(
    ("content", "kind", "advice"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), r"an old Excel workbook \(\.xls\)", "save it as .xlsx"),
        (zipped(**OFFICE, **{"xl/workbook.bin": b"?"}), "a binary Excel workbook", "save it as .xlsx"),
        (zipped(**OFFICE, **{"word/document.xml": b"?"}), "a Word document", "CSV"),
        (zipped(mimetype=b"application/vnd", **{"content.xml": b"?"}), r"an OpenDocument file \(\.ods\)", "save it as"),
        (zipped(**{"Index/Document.iwa": b"?"}), "an Apple Numbers document", "Export it"),
        (b"<!DOCTYPE html>\n<html><body>Log in", "a web page", "log-in page"),
        (b"\xef\xbb\xbf\n<!-- x -->\n <HTML>", "a web page", "log-in page"),
        (b'<?xml version="1.0"?><html xmlns="x">', "a web page", "log-in page"),
        (b"<table border=1><tr><td>id", "a web page", "spreadsheet"),
        (b'<?xml version="1.0"?><Workbook>', "an XML document", "save it as .xlsx"),
        (b'{"detail": "Not found"}', "a JSON document", "Fetch"),
        (b'[{"id": 1}]', "a JSON document", "Fetch"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "a Git LFS pointer", "git lfs pull"),
        (b"%PDF-1.7\n", "a document to print", "CSV"),
        *[(image(form), "an image", "Name the table") for form in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP")],
        (bytes(128) + b"DICM", "an image", "Name the table"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file", "Export it as CSV"),
        (feather(), "an Arrow or Feather file", "Parquet or CSV"),
        (b"SQLite format 3\0", "an SQLite database", "Export it as CSV"),
        (b"$FL2@(#) SPSS", "an SPSS file", "Export it as CSV"),
        (tar(), "an archive", "Unpack it"),
        (gzip.compress(tar()), "an archive", "Unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "an archive", "Unpack it"),
        (b"BZh91AY&SY", "a packed file", "Unpack it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, content: bytes, kind: str, advice: str) -> None:
    with pytest.raises(ValueError, match=rf"table\.csv is {kind}.*{advice}"):
        read_table(write(tmp_path, content))


@pytest.mark.parametrize("header", ["BMI,age", "<id>,<age>", "PK,age", "II*,MM*", "[id],{age}", "GIF8,PDF", "RIFF,x"])
def test_a_header_that_begins_a_little_like_another_kind_is_a_header(tmp_path: Path, header: str) -> None:
    assert list(read_table(write(tmp_path, f"{header}\n1,2\n".encode())).columns) == header.split(",")


def test_a_file_of_random_bytes_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, bytes(range(256)) * 40)
    with pytest.raises(ValueError, match=r"table\.csv, line 3: not UTF-8"):
        read_table(path)


def test_a_folder_and_a_file_that_is_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{tmp_path} is a folder\. Name the table file in it"):
        read_table(tmp_path)
    with pytest.raises(ValueError, match=r"absent\.csv can't be read: No such file"):
        read_table(tmp_path / "absent.csv")


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, CSV)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match=r"table\.csv can't be read: permission denied\. Change the file's access"):
        read_table(path)


@pytest.mark.parametrize("twin", ["age\u200b", "\u00a0age", "age "])
def test_names_that_become_one_without_what_nobody_sees_are_refused(tmp_path: Path, twin: str) -> None:
    (tmp_path / "t.csv").write_text(f"id,age,{twin}\n1,2,3\n", encoding="utf-8")
    with pytest.raises(ValueError, match="the header names age more than once"):
        read_table(tmp_path / "t.csv")


def test_a_zip_file_whose_names_disagree_is_damaged(tmp_path):
    packed = zipped(table=b"a,b\n1,2\n").replace(b"table", b"tablx", 1)  # in front of the content, not in the directory
    (tmp_path / "table.zip").write_bytes(packed)
    with pytest.raises(ValueError, match=r"table\.zip is damaged .* Fetch it again"):
        read_table(tmp_path / "table.zip")


def test_a_zip_file_with_a_file_of_no_name_holds_none(tmp_path):
    packed = zipped(table=b"a,b\n1,2\n")
    directory = packed.rindex(b"PK\x01\x02")
    nameless = packed[: directory + 28] + b"\0\0" + packed[directory + 30 :]  # length of the name
    (tmp_path / "table.zip").write_bytes(nameless)
    with pytest.raises(ValueError, match=r"table\.zip"):
        read_table(tmp_path / "table.zip")
