"""A real S3-protocol server on loopback, for tests of several folders."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from moto.server import ThreadedMotoServer

_numbers = itertools.count()
_KEY = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "a-secret-of-theirs", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True)
class S3:
    """A bucket of one's own, and what names it."""

    url: str
    environment: dict[str, str] = field(repr=False)

    def sizes(self) -> dict[str, int]:
        """Bytes of every object, by its key without the address."""
        from s3fs import S3FileSystem

        root = self.url.removeprefix("s3://")
        files = S3FileSystem(use_listings_cache=False).find(root, detail=True)
        return {key.removeprefix(f"{root}/"): entry["size"] for key, entry in files.items()}

    def refuse_keys(self, *, refuse: bool) -> None:
        """Whether the server looks who asks; it knows nobody."""
        requests.post(f"{self.environment['AWS_ENDPOINT_URL']}/moto-api/reset-auth", data="0" if refuse else "inf")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """An empty bucket, and an environment in which it is found."""
    from s3fs import S3FileSystem

    environment = _KEY | {"AWS_ENDPOINT_URL": s3_server, "SLIMP_CACHE": str(tmp_path / "cache")}
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{os.getpid()}-{next(_numbers)}"
    S3FileSystem.clear_instance_cache()  # each remembers the server that it met first
    S3FileSystem(use_listings_cache=False).mkdir(bucket)
    one = S3(f"s3://{bucket}/data", environment | {"SLIMP_DATA": f"s3://{bucket}/data"})
    yield one
    one.refuse_keys(refuse=False)
    S3FileSystem.clear_instance_cache()
