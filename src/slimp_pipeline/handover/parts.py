"""Parts of an export folder beside the checkpoint: facts as JSON, arrays as safetensors; both checked when read.

A part is of one encoder's embeddings, and says of which: beside another it would answer all the same, and wrongly.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from slimp_pipeline.models.fingerprint import FINGERPRINT, fingerprint_digest
from slimp_pipeline.parameters import Block

_LARGEST = float(np.finfo(np.float32).max)  # NaN compares false


class PartFacts(Block):
    """What stands beside the arrays of any part."""

    encoder: str  # its `fingerprint_digest`


Facts = TypeVar("Facts", bound=PartFacts)


def part_files(name: str) -> tuple[str, str]:
    """Files of a part: its facts, its arrays."""
    return f"{name}.json", f"{name}.safetensors"


def write_part(folder: Path, name: str, facts: PartFacts, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `<name>.json` and `<name>.safetensors`."""
    facts_file, arrays_file = (folder / file for file in part_files(name))
    save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, arrays_file)
    facts_file.write_text(facts.model_dump_json(indent=2), encoding="utf-8")


def read_part(
    folder: Path, name: str, kind: type[Facts], dimensions: Mapping[str, int]
) -> tuple[Facts, dict[str, np.ndarray]] | None:
    """Read facts and arrays; None where the folder holds none of them.

    Args:
        folder: The export folder.
        name: Of the part.
        kind: Its facts.
        dimensions: Names of its arrays, and how many dimensions each has.

    Raises:
        ValueError: If a file of it is absent, damaged or not such a part's, or it is of another encoder; says which.
    """
    facts_file, arrays_file = (folder / file for file in part_files(name))
    if not facts_file.is_file():
        return None
    try:
        facts = kind.model_validate(json.loads(facts_file.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        raise _damaged(facts_file, error) from error
    if facts.encoder != fingerprint_digest(folder):
        raise _damaged(facts_file, f"it is of another encoder than {FINGERPRINT}: files of several exports are mixed")
    try:
        arrays: dict[str, np.ndarray] = load_file(arrays_file)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:  # types that NumPy lacks are KeyErrors
        raise _damaged(arrays_file, error) from error
    if {key: value.ndim for key, value in arrays.items()} != dimensions:
        raise _damaged(arrays_file, f"it should hold {', '.join(dimensions)}")
    if not all(value.dtype.kind == "f" and (np.abs(value) <= _LARGEST).all() for value in arrays.values()):
        raise _damaged(arrays_file, "it holds other values than finite numbers")
    return facts, arrays


def _damaged(file: Path, why: object) -> ValueError:
    if isinstance(why, ValidationError):
        problem = why.errors(include_url=False)[0]
        why = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".removeprefix(": ")
    return ValueError(f"{file} can't be used: {why}. Copy the folder again from where it came, or export anew")
