"""Named arrays in one safetensors file."""

from typing import Any

import numpy as np
from kedro.io import AbstractDataset
from safetensors.numpy import load_file, save_file


class ArraysDataset(AbstractDataset[dict[str, np.ndarray], dict[str, np.ndarray]]):
    """A dictionary of numpy arrays, stored as safetensors; for use inside `AtomicDataset`."""

    def __init__(self, *, filepath: str) -> None:
        self._filepath = filepath

    def load(self) -> dict[str, np.ndarray]:
        """Load the arrays by name, in the order in which they were saved."""
        arrays: dict[str, np.ndarray] = load_file(self._filepath)
        order = sorted(arrays, key=lambda name: int(name.split("|", 1)[0]))
        return {name.split("|", 1)[1]: arrays[name] for name in order}

    def save(self, data: dict[str, np.ndarray]) -> None:
        """Save the arrays; safetensors keeps no order, so it goes into the names."""
        save_file({f"{i}|{k}": np.ascontiguousarray(v) for i, (k, v) in enumerate(data.items())}, self._filepath)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
