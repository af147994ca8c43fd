"""Any kedro-datasets file, written atomically."""

import inspect
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, Version
from kedro.io.core import parse_dataset_definition

from slimp_pipeline.datasets.versioned import OwnVersionDataset
from slimp_pipeline.processes.home import told


class AtomicDataset(OwnVersionDataset[Any]):
    """A file dataset whose versions appear whole or not at all.

    The wrapped dataset writes beside the target under a temporary name, which is then renamed. A run that
    dies leaves the previous version the latest.

    Args:
        filepath: Path of the file, or its address in a bucket.
        dataset: Configuration of the wrapped dataset (`type`, `load_args`, `save_args`), without filepath.
        preview: Show a preview in Kedro-Viz. Off by default: tables hold patients.
        version: Set by Kedro.
        metadata: For plugins, such as the Kedro-Viz layer.
    """

    def __init__(
        self,
        *,
        filepath: str,
        dataset: dict[str, Any],
        preview: bool = False,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath, version, metadata=metadata)
        self._dataset = dataset
        if preview:
            self.preview = self._make_preview()

    def load(self) -> Any:
        """Load a version."""
        return self._wrapped(self.fetched()).load()

    def save(self, data: Any) -> None:
        """Write a version under a temporary name, then rename it."""
        if self._copied(data):
            return
        with self._appearing() as temporary:
            self._wrapped(temporary).save(data)

    def _wrapped(self, path: Path) -> AbstractDataset[Any, Any]:
        return AbstractDataset.from_config(self._filepath.name, {**self._dataset, "filepath": str(path)})

    def _make_preview(self) -> Any:
        wrapped_class, _ = parse_dataset_definition({**self._dataset, "filepath": str(self._filepath)})

        def preview(*args: Any, **kwargs: Any) -> Any:
            return self._wrapped(self.fetched()).preview(*args, **kwargs)  # type: ignore[attr-defined]

        # Kedro-Viz reads the kind of preview off the return annotation.
        preview.__annotations__["return"] = inspect.signature(wrapped_class.preview).return_annotation  # type: ignore[attr-defined]
        return preview

    def _exists(self) -> bool:
        return self._is_there()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": told(self._filepath), "dataset": self._dataset, "version": self._version}
