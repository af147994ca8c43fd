"""Where artifacts lie: a folder, unless an address says otherwise; one in which nothing can be kept is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slimp_pipeline.processes.bucket import Bucket
from slimp_pipeline.processes.depot import Depot, depot_of


def test_a_path_is_a_folder_and_an_address_is_a_bucket():
    assert type(depot_of("data")) is type(depot_of(Path("/data"))) is Depot
    assert type(depot_of("s3://bucket/folder")) is Bucket


@pytest.mark.parametrize(
    "address", ["gs://bucket/data", "s3://", "s3://bucket/data?version=1", "s3://me:secret@bucket/data", "s3://b u/c"]
)
def test_any_other_address_is_refused(address):
    with pytest.raises(ValueError, match=r"is no place for artifacts: name a folder, or a bucket"):
        depot_of(address)


def test_local_folders_need_no_library_of_a_bucket(tmp_path):
    code = f"""
import sys
from slimp_pipeline.processes.depot import depot_of
depot = depot_of({str(tmp_path)!r})
depot.require_usable(), depot.publish(depot.local / "a"), depot.fetch(depot.local / "a")
print(sorted({{"fsspec", "s3fs", "botocore", "slimp_pipeline.processes.bucket"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    Depot(str(tmp_path / "data")).require_usable()
    monkeypatch.setattr(os, "access", lambda place, _: place != tmp_path / "data")
    with pytest.raises(PermissionError, match=rf"{tmp_path}/data can't be written, and results are kept there"):
        Depot(str(tmp_path / "data")).require_usable()


@pytest.mark.parametrize("name", ["data", "new/data"])
def test_a_folder_that_is_yet_to_be_made_needs_the_right_to_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    Depot(str(tmp_path / name)).require_usable()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match=rf"^{tmp_path} can't be written"):
        Depot(str(tmp_path / name)).require_usable()


def test_a_link_to_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/nowhere/data")
    with pytest.raises(FileNotFoundError, match="is a link to /nowhere/data, which isn't there"):
        Depot(str(tmp_path / "data")).require_usable()
