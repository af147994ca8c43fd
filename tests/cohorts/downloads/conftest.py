"""Small cohorts that are downloaded from loopback, in a hurry."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from archive_server import Server
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import DownloadParams

Settings = Callable[..., DownloadParams]
Spec = Callable[..., CohortSpec]


@pytest.fixture
def settings(archive: Server) -> Settings:
    """Settings that don't wait."""

    def make(**changes: Any) -> DownloadParams:
        quick = {"archive": archive.address, "requests_per_second": 10_000, "max_wait_s": 0.02, "spare_disk_gb": 0}
        return DownloadParams(**quick | {"max_tries": 3, "timeout_s": 5} | changes)

    return make


@pytest.fixture
def spec() -> Spec:
    """A cohort `x`, got as the arguments say: `archive=...`, `files=[...]`, `steps=[...]`, `expected=...`."""

    def make(**download: Any) -> CohortSpec:
        settings: dict[str, Any] = {
            "name": "x",
            "title": "The X cohort",
            "licence": "CC BY 4.0",
            "source": "https://doi.org/10.1234/x",
            "folder": "x",
            "tables": [{"file": "metadata.csv"}],
            "images": {"sources": ["images"]},
            "image_id": "isic_id",
            "fields": {},
        }
        return CohortSpec(**settings, download=download or {"archive": {"collections": [251]}})

    return make


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def make_zip() -> Callable[..., bytes]:
    return zipped
