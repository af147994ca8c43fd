"""Ids of rows and of files, and texts as they are meant."""

from random import Random

from mutation import mutated_text
from target import Target

from slimp_pipeline.cohorts.ids import match_ids
from slimp_pipeline.cohorts.rows.values import folded
from slimp_pipeline.cohorts.text import as_meant

_IDS = [
    "ISIC_0000001\n",
    "PAT_01_2.png\n",
    "pat_1_2.PNG\n",
    "img 7.jpg\n",
    "Müller\n",
    "Mu\u0308ller\n",
    "007\n",
    "7\n",
]
_TOKENS = [".png", ".JPG", "00", "0", "\u0301", "\u200b", "İ", "ß", "../", "/", "&amp;", "=", "\u0661", ".0", " "]


def make() -> Target:
    texts = ["".join(_IDS[i:]) for i in range(4)]

    def draw(rng: Random) -> tuple[list[str], list[str]]:
        rows, files = (mutated_text(rng, texts, _TOKENS).split("\n") for _ in range(2))
        return rows, files

    def call(drawn: tuple[list[str], list[str]]) -> None:
        rows, files = drawn
        matching = match_ids(rows, files)
        assert matching.row_of.keys() <= set(files) and set(matching.row_of.values()) <= set(rows)
        assert len(set(matching.row_of.values())) == len(matching.row_of)
        assert all(matching.row_of[name] == name for name in files if name in rows)
        for text in rows:
            assert as_meant(as_meant(text)) == as_meant(text)
            assert isinstance(folded(text), str)

    return Target(draw, call, (), share=330)
