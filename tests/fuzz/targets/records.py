"""Images as the ISIC Archive lists them."""

import json
from random import Random
from typing import Any

from mutation import mutated_tree
from target import Target

from slimp_pipeline.cohorts.downloads.record import Record, read_record

_LISTED = {
    "isic_id": "ISIC_0000001",
    "copyright_license": "CC-0",
    "attribution": "A clinic",
    "files": {"full": {"url": "https://example.org/a.jpg?x=1", "size": 7}, "thumbnail_256": {"url": "https://e.org/b"}},
    "metadata": {"acquisition": {"pixels_x": 9}, "clinical": {"sex": "male", "age_approx": 50}},
}
_NAMES = ["isic_id", "files", "full", "url", "size", "metadata", "clinical", "acquisition"]


def make() -> Target:
    def draw(rng: Random) -> str:
        return json.dumps(mutated_tree(rng, [_LISTED], _NAMES))

    def call(text: str) -> None:
        image: Any = json.loads(text)
        record = read_record(image)
        if isinstance(record, Record):
            assert record.isic_id.removeprefix("ISIC_").isdecimal() and record.size_bytes >= 0
            assert record.source.url.startswith(("https://", "http://"))
        else:
            assert "the archive lists it" in record

    return Target(draw, call, (), share=180)
