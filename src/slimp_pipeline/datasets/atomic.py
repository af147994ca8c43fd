"""Any kedro-datasets file, written atomically."""

import errno
import inspect
import os
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset, AbstractVersionedDataset, DatasetError, Version
from kedro.io.core import parse_dataset_definition


class AtomicDataset(AbstractVersionedDataset[Any, Any]):
    """A file dataset whose versions appear whole or not at all.

    The wrapped dataset writes beside the target under a temporary name, which is then renamed. A run that
    dies leaves the previous version the latest.

    Args:
        filepath: Local path of the file.
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
        super().__init__(filepath=PurePosixPath(filepath), version=version)
        self._dataset, self.metadata = dataset, metadata
        if preview:
            self.preview = self._make_preview()

    def load(self) -> Any:
        """Load the latest version."""
        return self._wrapped(Path(self._get_load_path())).load()

    def save(self, data: Any) -> None:
        """Write a version under a temporary name, then rename it."""
        target = Path(self._get_save_path())
        temporary = target.with_name(f".unfinished-{target.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._wrapped(temporary).save(data)
            os.replace(temporary, target)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if self._version and not any(target.parent.iterdir()):
                target.parent.rmdir()
            if _disk_full(error):
                raise DatasetError(
                    f"the disk is full: {target} wasn't written; the previous version is whole. Free space, run again."
                ) from error
            raise

    def _wrapped(self, path: Path) -> AbstractDataset[Any, Any]:
        return AbstractDataset.from_config(self._filepath.name, {**self._dataset, "filepath": str(path)})

    def _make_preview(self) -> Any:
        wrapped_class, _ = parse_dataset_definition({**self._dataset, "filepath": str(self._filepath)})

        def preview(*args: Any, **kwargs: Any) -> Any:
            return self._wrapped(Path(self._get_load_path())).preview(*args, **kwargs)  # type: ignore[attr-defined]

        # Kedro-Viz reads the kind of preview off the return annotation.
        preview.__annotations__["return"] = inspect.signature(wrapped_class.preview).return_annotation  # type: ignore[attr-defined]
        return preview

    def _exists(self) -> bool:
        try:
            return Path(self._get_load_path()).is_file()
        except DatasetError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "dataset": self._dataset, "version": self._version}


def _disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__ or error.__context__
    return False
