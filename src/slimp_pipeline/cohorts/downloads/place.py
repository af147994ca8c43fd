"""Where a cohort's files are put together, and how they get their place: all of them in one step."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimp_pipeline.processes.whole import appearing_whole, held, remove, remove_left_over

STAMP = "download.json"
LEDGER = "ledger.jsonl"
_REQUEST = ".request.json"


@dataclass(frozen=True)
class Place:
    """A cohort's folder, and the hidden one beside it in which it is put together.

    Args:
        target: The cohort's folder.
    """

    target: Path

    @classmethod
    def of(cls, raw_root: Path, folder: str) -> "Place":
        """The place of a cohort; where its folder is a link, what it leads to."""
        target = raw_root / folder
        return cls(target.resolve() if target.is_symlink() else target)

    @property
    def is_others(self) -> bool:
        """Whether somebody put files there, and no download did."""
        holds_something = self.target.exists() and not (self.target.is_dir() and not any(self.target.iterdir()))
        return holds_something and _read(self.target / STAMP) is None

    @property
    def staging(self) -> Path:
        """Folder that becomes the cohort's."""
        return self.target.with_name(f".{self.target.name}.download")

    @property
    def parts(self) -> Path:
        """Folder of files that haven't come whole."""
        return self.staging / ".parts"

    @property
    def ledger(self) -> Path:
        """The ledger's file; it goes with the folder."""
        return self.staging / LEDGER

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one that works here; another run waits."""
        lock = self.target.with_name(f".{self.target.name}.lock")
        with held(lock, f"getting {self.target.name}"):
            yield

    def stamp(self) -> dict[str, Any] | None:
        """What was put in place by an earlier download; None where the folder isn't there.

        Raises:
            FileExistsError: If the folder is there, and no download made it: nothing in it is touched.
        """
        if self.is_others:
            raise FileExistsError(
                f"{self.target} is there already, and no download made it: nothing in it was touched. Move it away, or "
                "name another `folder` in the cohort's YAML"
            )
        return _read(self.target / STAMP)

    def begin(self, request: dict[str, Any]) -> None:
        """Open the staging folder for a request; what an earlier run got for the same one is there still.

        Raises:
            FileExistsError: If it holds files of another request.
        """
        self.parts.mkdir(parents=True, exist_ok=True)
        earlier = _read(self.staging / _REQUEST)
        if earlier is not None and earlier != request:
            raise FileExistsError(
                f"{self.staging} holds what was got so far of another request ({request_in_words(earlier)}). Ask for "
                f"that again to end it, or remove it: rm -r {self.staging}"
            )
        with appearing_whole(self.staging / _REQUEST) as temporary:
            temporary.write_text(json.dumps(request), encoding="utf-8")
        for folder, _, _ in os.walk(self.staging):
            remove_left_over(Path(folder))

    def land(self, stamp: dict[str, Any]) -> None:
        """Give the staging folder the cohort's name."""
        remove(self.parts)
        with appearing_whole(self.staging / STAMP) as temporary:
            temporary.write_text(json.dumps(stamp, indent=2), encoding="utf-8")
        remove(self.staging / _REQUEST)
        os.replace(self.staging, self.target)


def request_in_words(request: dict[str, Any]) -> str:
    """What is or was asked for, as people say it."""
    asked = [f"collections {', '.join(map(str, request['collections']))}"] if request.get("collections") else []
    asked += [f"{name} {request[name]}" for name in ("doi", "search", "archive") if request.get(name)]
    asked += [f"the first {request['max_images']} images"] if request.get("max_images") else []
    return ", ".join([*request.get("files", []), *asked]) or "nothing that is known"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
