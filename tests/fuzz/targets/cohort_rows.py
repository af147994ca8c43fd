"""Tables read by a cohort's description: odd cells, odd ids, odd columns."""

import tempfile
from pathlib import Path
from random import Random
from typing import Any

from mutation import mutated_text, mutated_tree
from pydantic import ValidationError
from target import Refused, Target

from slimp_pipeline.cohorts.rows.problems import COLUMNS
from slimp_pipeline.cohorts.rows.reader import read_rows
from slimp_pipeline.cohorts.spec import CohortSpec

_TABLE = """\
img,patient,lesion,age,sex,itch,dx,biopsy
p/a1.jpg,1,L1,"52,5",F,TRUE,MEL,True
p/a2.jpg,1,L1,53,f,False,MEL,False
p/b1.jpg,2,L2,,M,,NEV,
p/b2.jpg,2,L3,1.200,unknown,no,BKL,True
p/c1.jpg,,L4,71,M,yes,NEV,False
"""
_TOKENS = [
    "1",
    "0",
    "999",
    "1,5",
    "1.500",
    "1,234.5",
    "1.234.567,8",
    "-0",
    "1e308",
    "1e999",
    "NaN",
    "inf",
    "0x10",
    "None",
    "yes",
]
_TOKENS += [
    "MEL",
    "mel ",
    "unknown",
    "?",
    "../",
    "\\",
    "a.jpg",
    "L1",
    "#REF!",
    "1.0",
    "٣",
    "İ",
    "&amp;",
    ",",
    '"',
    "\u200b",
    "1_2",
]
_SPEC: dict[str, Any] = {
    "name": "mine", "title": "", "licence": "", "source": "", "folder": "mine", "partial": True,
    "tables": [{"file": ["a.csv"]}], "image_id": "img", "image_id_is_path": True,
    "lesion_id": ["patient", "lesion"], "patient_id": ["patient"], "missing": ["?"],
    "label": {"column": "dx", "malignant": ["MEL"], "indeterminate": ["BKL"], "missing": ["x"]},
    "fields": {
        "age_years": {"kind": "numeric", "level": "patient", "column": "age", "minimum": 0, "missing": ["999"]},
        "sex": {"kind": "categorical", "level": "patient", "column": "sex", "rename": {"F": "f"}},
        "symptom": {"kind": "checkbox", "level": "lesion", "options": {"itch": "itch"}},
    },
    "leaks": {"biopsy": "it tells"},
}  # fmt: skip


def make() -> Target:
    path = Path(tempfile.mkdtemp()) / "a.csv"

    def draw(rng: Random) -> tuple[dict[str, Any], str]:
        spec = mutated_tree(rng, [_SPEC], ["img", "dx", "age", "column", "minimum"]) if rng.random() < 0.3 else _SPEC
        return spec, mutated_text(rng, [_TABLE], _TOKENS)

    def call(drawn: tuple[dict[str, Any], str]) -> None:
        try:
            spec = CohortSpec.model_validate(drawn[0])
        except ValidationError as error:
            raise Refused from error
        path.write_bytes(drawn[1].encode("utf-8", "replace"))
        reading = read_rows(spec, {0: path})
        assert reading.rows["image_id"].is_unique and reading.rows[["patient_id", "lesion_id"]].notna().all(axis=None)
        assert list(reading.quarantine.columns) == COLUMNS

    return Target(draw, call, (ValueError,), share=20)
