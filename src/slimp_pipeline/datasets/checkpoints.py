"""Pre-trained encoders: one checkpoint folder per partition."""

import json
from dataclasses import replace
from pathlib import Path

from slimp_pipeline.datasets.folder import FolderDataset
from slimp_pipeline.models.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

_FIRST_WEIGHTS = "first_weights.json"  # where this machine keeps them: it isn't part of what is handed on


class CheckpointsDataset(FolderDataset[dict[str, Checkpoint]]):
    """Partition -> checkpoint, a checkpoint folder each."""

    def read(self, folder: Path) -> dict[str, Checkpoint]:
        """Read every checkpoint."""
        note = folder / _FIRST_WEIGHTS
        paths = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
        read = {path.name: read_checkpoint(path) for path in sorted(folder.iterdir()) if path.is_dir()}
        return {name: _with_first_weights(read[name], paths[name]) if name in paths else read[name] for name in read}

    def write(self, folder: Path, data: dict[str, Checkpoint]) -> None:
        """Write every checkpoint."""
        paths = {name: checkpoint.model.image_encoder.weights for name, checkpoint in data.items() if checkpoint}
        for name, checkpoint in data.items():
            write_checkpoint(checkpoint, folder / name)
        if elsewhere := {name: path for name, path in paths.items() if Path(path).name != path}:
            (folder / _FIRST_WEIGHTS).write_text(json.dumps(elsewhere, indent=2), encoding="utf-8")


def _with_first_weights(checkpoint: Checkpoint, path: str) -> Checkpoint:
    image_encoder = checkpoint.model.image_encoder.model_copy(update={"weights": path})
    return replace(checkpoint, model=checkpoint.model.model_copy(update={"image_encoder": image_encoder}))
