"""Decision files, which people and spreadsheets write."""

import tempfile
from pathlib import Path
from random import Random

import pandas as pd
from mutation import mutated_bytes, mutated_text
from target import Target

from slimp_pipeline.cohorts.rows.problems import COLUMNS
from slimp_pipeline.cohorts.rows.reader import Reading
from slimp_pipeline.tables.decisions import apply_decisions

_FILE = "image_id,decision,note\na,drop,blurred\nb,duplicate_of,c\nc,keep,\nd,wrong_label,a nevus\ne,,\n"
_TOKENS = [
    "drop",
    "keep",
    "duplicate_of",
    "wrong_label",
    "a",
    "b",
    "c",
    ",",
    ";",
    '"',
    "\n",
    "'=x",
    "B ",
    ".jpg",
    "\u00a0",
]


def make() -> Target:
    path = Path(tempfile.mkdtemp()) / "decisions.csv"
    ids = list("abcdef")
    rows = pd.DataFrame({"image_id": ids, "diagnosis": pd.Series(["nevus"] * 6, dtype="str")})
    rows["malignant"] = pd.Series([False] * 6, dtype="boolean")
    reading = Reading(rows, pd.DataFrame(columns=COLUMNS), {"notes": []})

    def draw(rng: Random) -> bytes:
        if rng.random() < 0.15:
            return mutated_bytes(rng, [_FILE.encode()])
        return mutated_text(rng, [_FILE, _FILE.replace(",", ";")], _TOKENS).encode("utf-8", "replace")

    def call(content: bytes) -> None:
        path.write_bytes(content)
        applied = apply_decisions(reading, path)
        assert set(applied.rows["image_id"]) <= set(ids)
        gone = set(ids) - set(applied.rows["image_id"])
        assert gone <= set(applied.quarantine["image_id"])
        assert applied.rows["image_id"].is_unique

    return Target(draw, call, (ValueError,), share=20)
