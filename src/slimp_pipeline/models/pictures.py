"""How pictures came to an encoder that was trained: others are read alike, or it sees what it was never shown."""

from collections.abc import Mapping
from typing import Any

from slimp_pipeline.parameters import IngestParams

_DECIDE_PIXELS = ("max_side_px", "jpeg_quality")


def picture_facts(ingest: IngestParams) -> dict[str, Any]:
    """What of the settings by which pictures were packed decides their pixels: facts of a checkpoint."""
    return {name: getattr(ingest, name) for name in _DECIDE_PIXELS}


def read_alike(facts: Mapping[str, Any], ingest: IngestParams) -> IngestParams:
    """Settings by which pictures are read as those were that trained an encoder.

    Args:
        facts: Of its checkpoint; earlier releases noted nothing of this.
        ingest: Limits of size and time; the rest, too, where the facts don't say it.

    Raises:
        ValidationError: If the facts are no such settings.
    """
    told = {name: facts[name] for name in _DECIDE_PIXELS if name in facts}
    return IngestParams(**(vars(ingest) | told))
