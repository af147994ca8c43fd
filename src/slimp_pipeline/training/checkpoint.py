"""Running checkpoints: everything a killed run needs to go on as if it had never stopped."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import slimp_pipeline
from slimp_pipeline.processes.depot import depot_of
from slimp_pipeline.processes.whole import appearing_whole, remove


@dataclass(frozen=True)
class RunningState:
    """State after `step` optimiser steps."""

    step: int
    tensors: dict[str, Tensor]  # model.*, optimizer.<parameter>.<name>, best.*
    progress: dict[str, Any]  # of early stopping: plain JSON
    num_history_bytes: int = 0  # of the history's file, that belong to this state


def running_key(*parts: Any) -> str:
    """Digest of what determines a run: settings, cohort fingerprint, and the code and libraries it runs on."""
    digest = hashlib.sha256(json.dumps([_plain(part) for part in parts], sort_keys=True).encode())
    digest.update(f"{torch.__version__} {timm.__version__}".encode())
    package = Path(slimp_pipeline.__file__).parent
    for folder in ("images", "losses", "models", "tables", "training"):
        for file in sorted((package / folder).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:20]


@contextmanager
def running_folder(root: str | Path | None, key: str) -> Iterator[Path | None]:
    """Folder of a run's checkpoints; below an address it is local while the run goes on, and uploaded at its end.

    Args:
        root: Folder or address of running checkpoints; None: none are kept.
        key: Of the run.
    """
    if root is None:
        yield None
        return
    depot = depot_of(root, of_folders=True)
    folder = depot.local / key
    if not folder.exists() and depot.exists(folder):
        depot.fetch(folder)
    yield folder
    if not depot.exists(folder):
        depot.publish(folder)


def weights_digest(model: nn.Module) -> str:
    """Digest of a model's weights: a file of first weights may change and keep its name."""
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:20]


def save_running(folder: Path, state: RunningState) -> None:
    """Write a checkpoint beside the previous one, make it current, then drop the previous one."""
    target = folder / f"step_{state.step:09d}"
    try:
        with appearing_whole(target) as temporary:
            temporary.mkdir()
            tensors = {name: value.contiguous() for name, value in state.tensors.items()}
            save_file(tensors, temporary / "state.safetensors")
            progress = {"progress": state.progress, "num_history_bytes": state.num_history_bytes}
            (temporary / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
            remove(target)  # of a run that was stopped after this very step
    except (SafetensorError, OSError) as error:
        raise OSError(
            f"the running checkpoint {target} couldn't be written ({error}); the previous one is whole. "
            "Free disk space and run again."
        ) from error
    for previous in folder.glob("step_*"):
        if previous != target:
            remove(previous)


def load_running(folder: Path) -> RunningState | None:
    """Return the last whole checkpoint of a run, or None where it never ran.

    Raises:
        ValueError: If a file of it is absent or damaged; says which, and how to begin anew.
    """
    steps = sorted(folder.glob("step_*"))
    if not steps:
        return None
    latest = steps[-1]
    try:
        progress = json.loads((latest / "progress.json").read_text(encoding="utf-8"))
        return RunningState(int(latest.name.removeprefix("step_")), load_file(latest / "state.safetensors"), **progress)
    except (SafetensorError, FileNotFoundError, ValueError, TypeError) as error:
        raise damaged(folder, f"{latest.name} can't be read ({error})") from error


def damaged(folder: Path, what: str) -> ValueError:
    """What is said of a run's checkpoints that can't be gone on from."""
    return ValueError(
        f"the running checkpoint {folder} is damaged: {what}. Put the folder back from a copy, or delete it "
        f"(rm -r {folder}): this training then begins anew."
    )


def pack_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, best: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """Flatten model, optimiser and best weights into named tensors."""
    tensors = {f"model.{name}": value.detach() for name, value in model.state_dict().items()}
    for index, entry in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in entry.items()}
    return tensors | {f"best.{name}": value for name, value in (best or {}).items()}


def unpack_state(
    tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor] | None:
    """Put named tensors back into model and optimiser; return the best weights, if any."""
    model.load_state_dict(_with_prefix(tensors, "model."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _with_prefix(tensors, "optimizer.").items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return _with_prefix(tensors, "best.") or None


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _plain(part: Any) -> Any:
    return part.model_dump(mode="json") if hasattr(part, "model_dump") else part
