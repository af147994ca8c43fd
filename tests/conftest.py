"""For tests of several folders: logging as the project's, and real servers on loopback, S3's and the ISIC Archive's."""

import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

sys.path.insert(0, str(Path(__file__).parent))

from archive_server import Server

# Read when Kedro is imported. It would else lay out, in colours, each dataset that a run in this process loads.
os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(Path(__file__).parents[1] / "conf/logging.yml"))
_numbers = itertools.count()
_KEY = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "a-secret-of-theirs", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True)
class S3:
    """A bucket of one's own, and the variables that name it."""

    url: str
    environment: dict[str, str] = field(repr=False)

    def files(self) -> S3FileSystem:
        secret, server = self.environment["AWS_SECRET_ACCESS_KEY"], self.environment["AWS_ENDPOINT_URL"]
        return S3FileSystem(
            key=self.environment["AWS_ACCESS_KEY_ID"], secret=secret, endpoint_url=server, use_listings_cache=False
        )

    def sizes(self) -> dict[str, int]:
        """Bytes of every object, by its key without the address."""
        root = self.url.removeprefix("s3://")
        return {
            key.removeprefix(f"{root}/"): file["size"] for key, file in self.files().find(root, detail=True).items()
        }

    def refuse_keys(self, *, refuse: bool) -> None:
        """Whether the server looks who asks; it knows nobody."""
        requests.post(f"{self.environment['AWS_ENDPOINT_URL']}/moto-api/reset-auth", data="0" if refuse else "inf")


@pytest.fixture(scope="session")
def new_bucket() -> Iterator[Callable[[Path], S3]]:
    """Make an empty bucket for those who keep copies in a folder."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for every request
    address = "http://{}:{}".format(*server.get_host_and_port())

    def make(cache: Path) -> S3:
        bucket = f"bucket-{next(_numbers)}"
        url, environment = f"s3://{bucket}/data", _KEY | {"AWS_ENDPOINT_URL": address, "SLIMP_CACHE": str(cache)}
        one = S3(url, environment | {"SLIMP_DATA": url})
        one.files().mkdir(bucket)
        return one

    yield make
    server.stop()


@pytest.fixture
def s3(new_bucket: Callable[[Path], S3], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """An empty bucket, and an environment in which it is found."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    one = new_bucket(tmp_path / "cache")
    for name, value in one.environment.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # each remembers the server that it met first
    yield one
    one.refuse_keys(refuse=False)
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def archive() -> Iterator[Server]:
    """An ISIC Archive of ten images in collection 251, on four pages of three at most."""
    server = Server(page_size=3)
    server.add_images(range(1, 11))
    yield server
    server.stop()
