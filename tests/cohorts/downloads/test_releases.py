"""Files of a published release."""

import hashlib
import io
import re

import h5py
import pytest

from archive_server import cut, instead, picture, status
from slimp_pipeline.cohorts.downloads import releases
from slimp_pipeline.cohorts.downloads.ledger import Ledger
from slimp_pipeline.cohorts.downloads.pace import Pace
from slimp_pipeline.cohorts.downloads.place import Place
from slimp_pipeline.cohorts.downloads.releases import fetch_release

TABLE = b"isic_id,sex\nISIC_1,male\nISIC_2,female\n"
PICTURES = {"part_1/ISIC_1.jpg": picture(1), "part_1/ISIC_2.jpg": picture(2)}


def hdf5() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["ISIC_1"] = 1
    return buffer.getvalue()


@pytest.fixture
def place(tmp_path):
    one = Place(tmp_path / "x")
    one.begin({})
    return one


@pytest.fixture
def release(archive, make_zip):
    """URLs of a table, a zip file and an HDF5 file, as the YAML names them."""
    archive.files = {"/r/table.csv": TABLE, "/r/file_downloaded": make_zip(PICTURES), "/r/images.hdf5": hdf5()}
    sums = {path: hashlib.sha256(body).hexdigest() for path, body in archive.files.items()}
    return [
        {"url": f"{archive.root}/r/table.csv", "to": "metadata.csv", "size_bytes": len(TABLE)},
        {
            "url": f"{archive.root}/r/file_downloaded", "to": "images", "unpack": True,
            "checksum": f"sha256:{sums['/r/file_downloaded']}",
        },
        {"url": f"{archive.root}/r/images.hdf5", "to": "train-image.hdf5"},
    ]  # fmt: skip


@pytest.fixture
def fetch(settings, place, spec, release):
    def run(files=release, **changes):
        return fetch_release(spec(files=files), place, Ledger(place.ledger), settings(**changes), Pace(10_000))

    return run


def there(place) -> dict[str, bytes]:
    files = [file for file in place.staging.rglob("*") if file.is_file() and file != place.ledger]
    return {str(file.relative_to(place.staging)): file.read_bytes() for file in files if file.name[0] != "."}


def outcomes(entries) -> list[tuple[str, str]]:
    return [(entry.kind, entry.outcome) for entry in entries]


def test_every_file_lies_where_the_yaml_says_and_stands_in_the_ledger(fetch, archive, place):
    entries = fetch()
    assert there(place) == {
        "metadata.csv": TABLE, "train-image.hdf5": archive.files["/r/images.hdf5"],
        "images/part_1/ISIC_1.jpg": picture(1), "images/part_1/ISIC_2.jpg": picture(2),
    }  # fmt: skip
    assert outcomes(entries) == [("file", "got"), ("file", "got"), ("unpacked", "got"), ("file", "got")]
    assert [entry.reason for entry in entries] == [
        "no checksum is published", "", f"2 files, {(len(picture(1)) + len(picture(2))) / 1000:.1f} kB, in images",
        "no checksum is published",
    ]  # fmt: skip
    assert entries[0].sha256 == hashlib.sha256(TABLE).hexdigest()
    assert {entry.licence for entry in entries} == {"CC BY 4.0"}


def test_what_is_there_is_not_asked_for_again(fetch, archive, place):
    archive.misbehave("images.hdf5", status(500), always=True)
    assert outcomes(fetch())[-1] == ("file", "failed")
    archive._faults.clear()
    archive.requests.clear()
    assert {entry.outcome for entry in fetch()} == {"got"}
    assert [path for path, _ in archive.requests] == ["/r/images.hdf5"]


def test_a_file_that_is_gone_or_shorter_is_got_again(fetch, archive, place):
    fetch()
    (place.staging / "metadata.csv").write_bytes(TABLE[:-1])
    (place.staging / "train-image.hdf5").unlink()
    archive.requests.clear()
    fetch()
    assert there(place)["metadata.csv"] == TABLE
    assert len(archive.requests) == 2


def test_a_zip_file_that_a_killed_run_did_not_unpack_is_not_fetched_again(fetch, archive, place, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(releases, "unpack_zip", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch()
    archive.requests.clear()
    assert {entry.outcome for entry in fetch()} == {"got"}
    assert archive.asked_for("file_downloaded") == 0
    assert there(place)["images/part_1/ISIC_1.jpg"] == picture(1)


def test_a_large_file_is_gone_on_with_in_the_next_run(fetch, archive, release):
    archive.misbehave("file_downloaded", cut(200), cut(200), cut(200))
    assert outcomes(fetch())[1] == ("file", "failed")
    archive.requests.clear()
    assert outcomes(fetch())[1:3] == [("file", "got"), ("unpacked", "got")]
    assert ("/r/file_downloaded", "bytes=200-") in archive.requests


def test_a_release_that_changed_is_told_by_its_checksum(fetch, archive, make_zip):
    archive.files["/r/file_downloaded"] = make_zip({"other.jpg": picture(3)})
    entry = fetch()[1]
    assert (entry.outcome, entry.num_tries) == ("failed", 3)
    assert "its checksum is sha256:" in entry.reason


@pytest.mark.parametrize(
    ("path", "number", "words"),
    [
        ("table.csv", 0, r"metadata.csv is a web page \(HTML\)"),
        ("file_downloaded", 1, r"a web page \(HTML\), not a zip file"),
        ("images.hdf5", -1, r"a web page \(HTML\), not an HDF5 file"),
    ],
)
def test_a_log_in_page_is_no_file_of_a_release(fetch, archive, release, path, number, words):
    archive.misbehave(path, instead(b"<!doctype html><title>Log in</title>"), always=True)
    for file in release:
        file.pop("size_bytes", None)
    entry = fetch()[number]
    assert entry.outcome == "failed"
    assert re.search(words, entry.reason)


def test_a_harmful_zip_file_is_set_aside_with_the_reason_and_under_its_name(fetch, archive, make_zip, release, place):
    archive.files["/r/file_downloaded"] = make_zip({"../evil.txt": b"x", "good.jpg": picture(1)})
    del release[1]["checksum"]
    entries = fetch()
    assert outcomes(entries)[1:3] == [("file", "got"), ("unpacked", "failed")]
    assert entries[2].reason == "file_downloaded isn't unpacked: its entry '../evil.txt' would lie outside the folder"
    assert not (place.staging / "images").exists()


def test_room_is_looked_for_before_the_first_byte_and_before_unpacking(fetch, archive, release, monkeypatch):
    release[1]["size_bytes"] = len(archive.files["/r/file_downloaded"])
    needed = len(TABLE) + 2 * release[1]["size_bytes"]
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": needed - 1}))
    with pytest.raises(OSError, match=r"what is left, 3 files \(1 of unknown size\), needs"):
        fetch()
    assert not archive.requests
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": needed}))
    monkeypatch.setattr(releases, "unpacked_size", lambda _: releases.unpack_zip.__globals__["Unpacked"](9, 10**9))
    with pytest.raises(OSError, match=r"what file_downloaded holds, 9 files, needs 1.0 GB"):
        fetch()
