"""A bucket of an S3 server as a depot: what is read is fetched once, what is written is uploaded whole.

An object appears whole or not at all, so a file is whole where its object is there. A folder is several objects: the
last one that is written lists the others, and a folder without it isn't there.
"""

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from slimp_pipeline.processes.depot import Depot
from slimp_pipeline.processes.whole import appearing_whole, held, remove

logger = logging.getLogger(__name__)
LISTED = ".files.json"  # behind a folder's name: its files and their sizes; written last
_PROBE = ".writable"
_ADDRESS = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][\w.-]+)(/[\w.=+-]+)*/?")
_PATIENCE_S = 30
_LARGE = 100e6
Answer = TypeVar("Answer")


class Bucket(Depot):
    """A folder of a bucket; a folder of the cache stands for it.

    Whose bucket it is, is said by AWS's usual means: its environment variables, or the files in `~/.aws`.

    Args:
        address: `s3://bucket/folder`.
        of_folders: Whether what lies there are folders, not files.
    """

    is_elsewhere = True

    def __init__(self, address: str, *, of_folders: bool = False) -> None:
        found = _ADDRESS.fullmatch(address)
        if not found:
            raise ValueError(
                f"'{address}' is no place for artifacts: name a folder, or a bucket (s3://bucket/folder, of letters, "
                "digits and -_.=+)"
            )
        self._bucket, self._root = found["bucket"], address.removeprefix("s3://").rstrip("/")
        self._of_folders = of_folders
        self._there: set[str] = set()  # local paths of artifacts that are known to be in the bucket
        self._here: set[str] = set()  # and of those that are known to be in the cache, too
        super().__init__(str(cache_folder() / re.sub(r"[^\w.]+", "-", _server()) / self._root))

    def require_usable(self) -> None:
        """Look whether the bucket can be written, read and listed, and the cache be written.

        Raises:
            OSError: If it can't be; says what to do.
            ValueError: If s3fs isn't installed.
        """
        try:
            self.local.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PermissionError(
                f"the cache {self.local} can't be written ({error.strerror}). Name another folder in SLIMP_CACHE"
            ) from error
        probe = f"{self._root}/{_PROBE}"
        problems: list[BaseException] = [ConnectionError(self._away(f"no answer within {_PATIENCE_S} seconds"))]

        def ask() -> None:
            try:
                self._ask(lambda files: files.pipe_file(probe, b""))
                self._ask(lambda files: (files.cat_file(probe), files.find(probe)))
                problems.clear()
            except Exception as error:
                problems[:] = [error]

        asking = threading.Thread(target=ask, daemon=True)  # a server that says nothing is asked for minutes
        asking.start()
        asking.join(_PATIENCE_S)
        if problems:
            raise problems[0]

    def address_of(self, path: Path) -> str:
        """Address of an artifact."""
        return f"s3://{self._key(path)}"

    def exists(self, path: Path | str) -> bool:
        """Whether an artifact is there, whole."""
        if str(path) in self._there:
            return True
        return self._size(self._key(Path(path)) + self._ending) is not None

    def matching(self, pattern: str) -> Iterable[str]:
        """Paths of the versions that are there, whole; one question, however many they are."""
        artifact, name = Path(pattern).parents[1], Path(pattern).name
        below = self._key(artifact) + "/"
        for key in self._ask(lambda files: files.find(below)):
            version, _, file = str(key).removeprefix(below).partition("/")
            if file == name + self._ending:
                path = str(artifact / version / name)
                self._there.add(path)
                yield path

    def fetch(self, path: Path) -> None:
        """Download an artifact, unless the cache has it in full size.

        Raises:
            FileNotFoundError: If it isn't there.
            OSError: If it didn't arrive in full.
        """
        if str(path) in self._here and path.exists():
            return
        sizes = self._sizes(path)
        with held(path.with_name(f".{path.name}.lock"), f"fetching {self.address_of(path)}"):
            if not _has(path, sizes):
                self._download(path, sizes)
        self._here.add(str(path))

    def publish(self, path: Path) -> None:
        """Upload an artifact; a folder's list of files goes last."""
        sizes = {name: (path / name).stat().st_size for name in _names(path)}
        if sizes:
            keys, sources = self._keys(path, sizes), [str(path / name) for name in sizes]
            self._ask(lambda files: files.put(sources, keys))
        if self._of_folders:
            self._list_files(path, sizes)
        self._there.add(str(path))
        self._here.add(str(path))

    def read_note(self, path: Path) -> str | None:
        """Text of a small file as it is now; None where it isn't there."""
        try:
            content: bytes = self._ask(lambda files: files.cat_file(self._key(path)))
        except FileNotFoundError:
            return None
        return content.decode()

    @property
    def _ending(self) -> str:
        """Of the object that makes an artifact whole."""
        return LISTED if self._of_folders else ""

    def _key(self, path: Path) -> str:
        return "/".join([self._root, *path.relative_to(self.local).parts])

    def _keys(self, path: Path, names: Iterable[str]) -> list[str]:
        return [self._key(path) + (f"/{name}" if name else "") for name in names]

    def _size(self, key: str) -> int | None:
        """Bytes of an object; None where there is none."""
        try:
            found: dict[str, Any] = self._ask(lambda files: files.info(key))
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" else None

    def _sizes(self, path: Path) -> dict[str, int]:
        """Files of an artifact, by their paths in it; a file's own is empty."""
        if self._of_folders:
            listed = self.read_note(path.with_name(path.name + LISTED))
            sizes: dict[str, int] | None = json.loads(listed) if listed is not None else None
        else:
            size = self._size(self._key(path))
            sizes = {"": size} if size is not None else None
        if sizes is None:
            raise FileNotFoundError(f"there is no {self.address_of(path)}")
        return sizes

    def _list_files(self, path: Path, sizes: dict[str, int]) -> None:
        self._ask(lambda files: files.pipe_file(self._key(path) + LISTED, json.dumps(sizes).encode()))

    def _download(self, path: Path, sizes: dict[str, int]) -> None:
        remove(path)
        if (total := sum(sizes.values())) > _LARGE:
            logger.info("Fetching %s: %.1f GB", self.address_of(path), total / 1e9)
        with appearing_whole(path) as temporary:
            if self._of_folders:
                temporary.mkdir()
            if sizes:
                keys, targets = self._keys(path, sizes), [str(temporary / name) for name in sizes]
                self._ask(lambda files: files.get(keys, targets))
            if not _has(temporary, sizes):
                raise OSError(f"{self.address_of(path)} didn't arrive in full. Run again: it is fetched anew")

    def _ask(self, action: Callable[[Any], Answer]) -> Answer:
        """Ask the server for something; what it refuses is said in words.

        Raises:
            OSError: If the server isn't there, or refuses.
            ValueError: If s3fs isn't installed.
        """
        files = _file_system(self.address_of(self.local))
        try:
            return action(files)
        except Exception as error:
            if words := self._in_words(error):
                raise words from error
            raise

    def _in_words(self, error: Exception) -> OSError | None:
        from botocore import exceptions as boto

        server, said = _server(), str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, FileNotFoundError) and "bucket does not exist" in said:
            return FileNotFoundError(
                f"there is no bucket {self._bucket} on {server}. Make it, or name another in SLIMP_DATA (or `data` in "
                "conf/<env>/globals.yml)"
            )
        if isinstance(error, PermissionError) and error.filename is None:  # no local file's
            return PermissionError(
                f"{server} denies access to {self.address_of(self.local)} ({said}). Check AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), and that this key may read, write and list there"
            )
        if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.ProfileNotFound):
            return PermissionError(
                f"{server} needs a key ({said}). Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        if isinstance(error, boto.ConnectionError | boto.HTTPClientError | TimeoutError):
            return ConnectionError(self._away(said))
        if isinstance(error, boto.BotoCoreError | boto.ClientError):
            return OSError(f"{server} refused a request for {self.address_of(self.local)}: {said}")
        return None

    def _away(self, why: str) -> str:
        return (
            f"the server of the bucket {self._bucket}, {_server()}, isn't there ({why}). Start it, check "
            "AWS_ENDPOINT_URL, or keep artifacts in the project: unset SLIMP_DATA (or `data` in conf/<env>/globals.yml)"
        )


def cache_folder() -> Path:
    """Folder of local copies: `SLIMP_CACHE`, else the user's cache. It may be deleted whenever no run goes on."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "slimp_pipeline"
    return Path(os.environ.get("SLIMP_CACHE") or users).expanduser().absolute()


def _server() -> str:
    """Name of the server, for people and for the cache: buckets of one name may be on several."""
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS S3"
    return re.sub(r"//[^/@]*@", "//", address)  # no passwords


def _file_system(address: str) -> Any:
    try:
        from s3fs import S3FileSystem
    except ModuleNotFoundError as error:
        raise ValueError(
            f"artifacts are kept in {address}, which takes the Python package {error.name}: "
            "pip install 'slimp-pipeline[s3]', or, in a checkout, pip install -e '.[s3]'"
        ) from error
    retries = {"mode": "standard", "total_max_attempts": 4}
    return S3FileSystem(use_listings_cache=False, config_kwargs={"connect_timeout": 10, "retries": retries})


def _names(path: Path) -> list[str]:
    """Files below a folder, by their paths in it; a file's own is empty."""
    if not path.is_dir():
        return [""]
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())


def _has(path: Path, sizes: dict[str, int]) -> bool:
    """Whether all files are there, in full."""
    return path.exists() and all(
        (path / name).is_file() and (path / name).stat().st_size == size for name, size in sizes.items()
    )
