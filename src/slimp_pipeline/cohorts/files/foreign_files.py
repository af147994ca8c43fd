"""Files that are no table that can be read, told by how they begin."""

import re
from pathlib import Path

_SAVE = "Open it in a spreadsheet program and save it as .xlsx or CSV."
_EXPORT = "Export it as CSV."
_UNPACK = "Unpack it and name the table file that it holds."
_NO_TABLE = "Name the table file instead."
_SPACE = rb"(\xef\xbb\xbf)?\s*"

# how a file begins, what it is, what to do
_KINDS = (
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls), or one with a password", _SAVE),
    (
        _SPACE + rb"(<\?xml.*?\?>\s*)?(<!--.*?-->\s*)*<(?i:!doctype html|html|head|body|meta|script|table)\b",
        "a web page (HTML)",
        "If a log-in page was saved in place of the table, fetch it again; if it is a table saved as a web page, "
        "open it in a spreadsheet program and save it as .xlsx or CSV.",
    ),
    (_SPACE + rb"<\?xml", "an XML document", _SAVE),
    (_SPACE + rb"(\{\s*\"|\[\s*\{)", "a JSON document, perhaps a server's error message", "Fetch the table again."),
    (rb"version https://git-lfs\.github\.com/spec", "a Git LFS pointer", "Fetch the file itself by `git lfs pull`."),
    (rb"%PDF-|\{\\rtf1", "a document to print (PDF or RTF)", "Ask for the table behind it as .xlsx or CSV."),
    (rb"\x89PNG\r|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|RIFF.{4}WEBP|BM.{4}\0{4}|.{128}DICM", "an image", _NO_TABLE),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", _EXPORT),
    (rb"ARROW1\0\0|\xff\xff\xff\xff.\0\0\0", "an Arrow or Feather file", "Export it as Parquet or CSV."),
    (rb"PARE", "an encrypted Parquet file", "Write it without encryption."),
    (rb"\$FL[23]", "an SPSS file (.sav)", _EXPORT),
    (rb"<stata_dta>", "a Stata file (.dta)", _EXPORT),
    (rb"RD[AX][23]\n|[XA]\n\0\0\0[23]", "an R file", _EXPORT),
    (rb"SQLite format 3\0", "an SQLite database", _EXPORT),
    (rb".{257}ustar|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07", "an archive (tar, 7z or RAR)", _UNPACK),
    (rb"BZh[1-9]1AY&SY|\xfd7zXZ\0|\x28\xb5\x2f\xfd", "a packed file (bzip2, xz or Zstandard)", _UNPACK),
)
_OFFICE = "[Content_Types].xml"
# two parts that a zip-based document has, what it is, what to do
_DOCUMENTS = (
    (_OFFICE, "xl/workbook.bin", "a binary Excel workbook (.xlsb)", _SAVE),
    (_OFFICE, "word/document.xml", "a Word document", "Put the table into a workbook (.xlsx) or a CSV file."),
    (_OFFICE, "ppt/presentation.xml", "a presentation", "Put the table into a workbook (.xlsx) or a CSV file."),
    ("mimetype", "content.xml", "an OpenDocument file (.ods)", _SAVE),
    ("Index/Document.iwa", "Index/Document.iwa", "an Apple Numbers document", "Export it as .xlsx or CSV."),
)


def refuse_foreign_file(head: bytes, path: Path) -> None:
    """Raise ValueError if a file that begins so is no CSV text; says what it is and what to do."""
    for beginning, kind, advice in _KINDS:
        if re.match(beginning, head, re.DOTALL):
            raise ValueError(f"{path} is {kind}, no table that can be read. {advice}")


def refuse_foreign_document(parts: list[str], path: Path) -> None:
    """Raise ValueError if a zip file with these parts is a document; says what it is and what to do."""
    for part, other, kind, advice in _DOCUMENTS:
        if part in parts and other in parts:
            raise ValueError(f"{path} is {kind}, no table that can be read. {advice}")
