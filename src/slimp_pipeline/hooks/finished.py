"""What was computed before isn't computed again: costly nodes with the same inputs, settings and code.

Nodes bear the tag `costly` in their pipeline's wiring. What one gave is noted under a digest of all that went into it;
a later run, also one that goes on after a killed one, takes its artifacts from there. They are copied byte for byte.
"""

import hashlib
import json
import logging
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline.node import Node

import slimp_pipeline
from slimp_pipeline.datasets.versioned import FinishedArtifact, OwnVersionDataset
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.hooks.artifacts import data_address
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import Block
from slimp_pipeline.processes.depot import depot_of
from slimp_pipeline.processes.whole import appearing_whole

logger = logging.getLogger(__name__)
COSTLY = "costly"
_LIBRARIES = ("torch", "timm", "numpy", "pandas", "scikit-learn", "scipy", "plotly", "kaleido", "pillow")


class FinishedHooks:
    """Let costly nodes give what they gave before."""

    def __init__(self) -> None:
        self._functions: dict[str, Any] = {}  # of nodes that aren't run
        self._keys: dict[str, str] = {}
        self._unsaved: dict[str, set[str]] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find the notes."""
        self._notes = depot_of(f"{data_address(context)}/07_model_output/finished")

    @hook_impl
    def after_catalog_created(self, save_version: str) -> None:
        """Note this run's version."""
        self._version = save_version

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any]) -> None:
        """Replace a node that finished before by what it gave."""
        if COSTLY not in node.tags or (key := _key(node, inputs)) is None:
            return
        self._keys[node.name], self._unsaved[node.name] = key, set(node.outputs)
        artifacts = self._artifacts(key, node, catalog)
        if artifacts is None:
            return
        self._functions[node.name] = node.func
        given = artifacts[0] if len(artifacts) == 1 else tuple(artifacts)
        node.func = lambda *_args, **_kwargs: given

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Give a node its function back."""
        if function := self._functions.pop(node.name, None):
            node.func = function
            logger.info("%s: nothing that goes into it has changed, taken from an earlier run", node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Note what a node gave, once all of it is saved; of what was given again, this run's copy is the newest."""
        if (key := self._keys.get(node.name)) is None:
            return
        self._unsaved[node.name].discard(dataset_name)
        if not self._unsaved[node.name]:
            del self._keys[node.name]
            note = self._notes.local / f"{key}.json"
            with appearing_whole(note) as temporary:
                temporary.write_text(json.dumps({"node": node.name, "version": self._version}), encoding="utf-8")
            self._notes.publish(note)

    def _artifacts(self, key: str, node: Node, catalog: DataCatalog) -> list[FinishedArtifact] | None:
        """What a node gave under this key, where all of it is still there."""
        try:
            earlier = json.loads(self._notes.read_note(self._notes.local / f"{key}.json") or "{}")["version"]
        except (ValueError, KeyError):
            return None
        datasets = [catalog[name] for name in node.outputs]
        artifacts = [dataset.finished(earlier) for dataset in datasets if isinstance(dataset, OwnVersionDataset)]
        found = [artifact for artifact in artifacts if artifact is not None]
        return found if len(found) == len(node.outputs) else None


def _key(node: Node, inputs: dict[str, Any]) -> str | None:
    """Digest of a node's function, inputs and code; None where an input has no digest."""
    parts = {name: _digest(value) for name, value in inputs.items()}
    if None in parts.values():
        return None
    text = json.dumps([node.name, sorted(parts.items()), _code()])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _digest(value: Any) -> str | None:
    """Digest of content; None for what has none that could be told."""
    if isinstance(value, pd.DataFrame):
        rows = pd.util.hash_pandas_object(value, index=True).to_numpy().tobytes()
        return _sha(repr(list(value.dtypes.astype(str).items())).encode(), rows)
    if isinstance(value, dict):
        parts = {str(name): _digest(part) for name, part in value.items()}
        return None if None in parts.values() else _sha(json.dumps(list(parts.items())).encode())
    if isinstance(value, np.ndarray):
        return _sha(str((value.shape, value.dtype)).encode(), np.ascontiguousarray(value).tobytes())
    if isinstance(value, Checkpoint):
        settings = (value.model, value.loss, value.encoding)
        tensors = {name: value.state[name].contiguous().cpu().numpy() for name in sorted(value.state)}
        return _sha(*(block.model_dump_json().encode() for block in settings), str(_digest(tensors)).encode())
    if isinstance(value, ImageStore):
        return value.path.name  # addressed by content
    if isinstance(value, Block):
        return _sha(value.model_dump_json().encode())
    if isinstance(value, TargetCohort):
        return _digest(vars(value))
    if isinstance(value, go.Figure):
        return _sha(str(value.to_json()).encode())
    if isinstance(value, str | int | float | bool | None | list):
        return _sha(json.dumps(value, default=str).encode())
    return None


def _sha(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


@cache
def _code() -> str:
    """Digest of this package's code and of the libraries that decide what it computes."""
    package = Path(slimp_pipeline.__file__).parent
    content = [file.read_bytes() for file in sorted(package.rglob("*.py"))]
    return _sha(*content, *(f"{name} {version(name)}".encode() for name in _LIBRARIES))
