"""Table files: CSV in every form that is read, packed ones, Parquet, Excel."""

import gzip
import io
import tempfile
import zipfile
from pathlib import Path
from random import Random

import pandas as pd
from mutation import mutated_bytes, mutated_text
from target import Target

from slimp_pipeline.cohorts.files.table_file import read_table

_PLAIN = "img_id,age,site,mel\nPAT_1_1.png,52,ARM,True\nPAT_2_7.png,,FACE,False\nPAT_3_9.png,71.5,,True\n"
_TEXTS = [
    _PLAIN,
    _PLAIN.replace(",", ";").replace(".5", ",5"),
    _PLAIN.replace(",", "\t"),
    _PLAIN.replace(",", "|").replace("\n", "\r\n"),
    'sep=;\n"img_id";"note"\n1;"a ""quoted"" text\nof two lines"\n2;"b; c"\n',
    "|| Name || Clinical | Colors ||\n|| IMD003 || 0 | 1  2 ||\n|| IMD009 || 1 | 4 ||\n\nLegend:\n",
    "\ufeffid,sex\nä,weiblich\nö,männlich\n",
]
_TOKENS = [",", ";", "\t", "|", "||", '"', '""', "\n", "\r\n", "\r", "\0", "sep=,", "\ufeff", "id", "1", "PAR1\x15"]
_TOKENS += ["1.5", "é", "\u00a0", "\u2028", "<html>", '{"a"', "PK\x03\x04", "\x1f\x8b", "," * 50, "x" * 500, "a,a"]
_CODECS = ["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]


def _packed(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", content)
    return buffer.getvalue()


def _in(form: str) -> bytes:
    buffer = io.BytesIO()
    frame = pd.DataFrame({"img_id": ["a", "b"], "age": [52, None], "when": pd.to_datetime(["2020-01-31", None])})
    frame.to_parquet(buffer) if form == "parquet" else frame.to_excel(buffer, index=False)
    return buffer.getvalue()


def make() -> Target:
    path = Path(tempfile.mkdtemp()) / "table.csv"
    binary = [_in("parquet"), _packed(_PLAIN.encode()), gzip.compress(_PLAIN.encode(), mtime=0)]
    workbook = [_in("excel")]
    plain = [text.encode("utf-16" if i == 1 else "utf-8") for i, text in enumerate(_TEXTS)]

    def draw(rng: Random) -> bytes:
        kind = rng.random()
        if kind < 0.02:
            return mutated_bytes(rng, workbook)
        if kind < 0.15:
            return mutated_bytes(rng, binary)
        if kind < 0.35:
            return mutated_bytes(rng, plain)
        content = mutated_text(rng, _TEXTS, _TOKENS).encode(rng.choice(_CODECS), "replace")
        pack = rng.random()
        return gzip.compress(content, 1, mtime=0) if pack < 0.03 else _packed(content) if pack < 0.06 else content

    def call(content: bytes) -> None:
        path.write_bytes(content)
        table = read_table(path)
        assert len(table) and len(table.columns) and table.columns.is_unique and table.index.is_monotonic_increasing
        assert all(table[name].dtype == "str" and not table[name].hasnans for name in table)

    return Target(draw, call, (ValueError,), share=160)
