"""A bucket as a depot: whole or not there, fetched once, and its refusals in words."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from slimp_pipeline.processes import bucket
from slimp_pipeline.processes.depot import depot_of


def written(path, content=b"content"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Go on as on another machine: with a cache that is empty."""
    return lambda: monkeypatch.setenv("SLIMP_CACHE", str(tmp_path / "other_cache"))


def test_what_one_machine_publishes_another_fetches(s3, elsewhere):
    here = depot_of(f"{s3.url}/a.txt")
    path = written(here.local / "v1" / "a.txt", "größer".encode())
    assert not here.exists(path)
    here.publish(path)
    assert s3.sizes() == {"a.txt/v1/a.txt": 8}
    elsewhere()
    there = depot_of(f"{s3.url}/a.txt")
    (found,) = map(there.local.__class__, there.matching(str(there.local / "*" / "a.txt")))
    assert found == there.local / "v1" / "a.txt" and found != path and not found.exists()
    there.fetch(found)
    assert found.read_text(encoding="utf-8") == "größer" and there.address_of(found) == f"{s3.url}/a.txt/v1/a.txt"


def test_a_folder_is_there_once_its_files_are_listed_and_comes_as_it_went(s3, elsewhere):
    here = depot_of(f"{s3.url}/things", of_folders=True)
    folder = here.local / "v1" / "things"
    for name in ("a.bin", "below/b.bin", "empty"):
        written(folder / name, name.encode() * (name != "empty"))
    here.publish(folder)
    (here.local / "v2" / "things").mkdir(parents=True)  # nothing in it
    here.publish(here.local / "v2" / "things")
    assert {"things/v1/things.files.json", "things/v1/things/below/b.bin"} < s3.sizes().keys()
    elsewhere()
    there = depot_of(f"{s3.url}/things", of_folders=True)
    assert len(list(there.matching(str(there.local / "*" / "things")))) == 2
    for version in ("v1", "v2"):
        there.fetch(there.local / version / "things")
    files = {p.relative_to(there.local).as_posix(): p.read_bytes() for p in there.local.rglob("*") if p.is_file()}
    files = {name: content for name, content in files.items() if ".lock" not in name}
    assert files == {
        "v1/things/a.bin": b"a.bin", "v1/things/below/b.bin": b"below/b.bin", "v1/things/empty": b"",
    }  # fmt: skip
    assert (there.local / "v2" / "things").is_dir()


KILLED = """
import os, signal, sys
from pathlib import Path
from slimp_pipeline.processes.bucket import Bucket
from slimp_pipeline.processes.depot import depot_of

depot = depot_of(sys.argv[1], of_folders=True)
Bucket._list_files = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # all files are there, and nobody said so
depot.publish(depot.local / "v2" / "things")
"""


def test_an_upload_that_is_killed_leaves_the_version_before_the_latest(s3):
    depot = depot_of(f"{s3.url}/things", of_folders=True)
    for version in ("v1", "v2"):
        written(depot.local / version / "things" / "a.bin")
    depot.publish(depot.local / "v1" / "things")
    done = subprocess.run([sys.executable, "-c", KILLED, f"{s3.url}/things"], timeout=100)
    assert done.returncode == -signal.SIGKILL and "things/v2/things/a.bin" in s3.sizes()
    again = depot_of(f"{s3.url}/things", of_folders=True)
    assert [path.split("/")[-2] for path in again.matching(str(again.local / "*" / "things"))] == ["v1"]
    assert not again.exists(again.local / "v2" / "things")
    again.publish(again.local / "v2" / "things")
    assert depot_of(f"{s3.url}/things", of_folders=True).exists(again.local / "v2" / "things")


LARGE = """
import sys
from slimp_pipeline.processes.depot import depot_of

depot = depot_of(sys.argv[1])
depot.publish(depot.local / "large.bin")
"""


def test_a_large_file_whose_upload_is_killed_half_way_isnt_there(s3):
    depot = depot_of(s3.url)
    path = written(depot.local / "large.bin", bytes(120_000_000))
    process = subprocess.Popen([sys.executable, "-c", LARGE, s3.url])
    client, name = s3.files(), s3.url.removeprefix("s3://").split("/")[0]
    deadline = time.monotonic() + 60
    while not client.call_s3("list_multipart_uploads", Bucket=name).get("Uploads") and time.monotonic() < deadline:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not depot.exists(path) and not s3.sizes()


def test_a_copy_that_isnt_whole_is_fetched_anew_and_a_whole_one_never(s3, elsewhere, monkeypatch):
    here = depot_of(s3.url)
    here.publish(written(here.local / "a.bin", b"0123456789"))
    elsewhere()
    there = depot_of(s3.url)
    path = written(there.local / "a.bin", b"0123")
    there.fetch(path)
    assert path.read_bytes() == b"0123456789"
    monkeypatch.setattr(bucket.Bucket, "_download", lambda *_: pytest.fail("fetched once more"))
    depot_of(s3.url).fetch(path)
    there.fetch(path)


def test_what_arrives_cut_off_doesnt_count(s3, elsewhere, monkeypatch):
    here = depot_of(s3.url)
    here.publish(written(here.local / "a.bin", b"0123456789"))
    elsewhere()
    there = depot_of(s3.url)
    monkeypatch.setattr(bucket, "_has", lambda path, sizes: False)
    with pytest.raises(OSError, match=r"a\.bin didn't arrive in full"):
        there.fetch(there.local / "a.bin")
    assert not (there.local / "a.bin").exists()


def test_a_note_is_read_as_it_is_now(s3, elsewhere):
    here = depot_of(s3.url)
    assert here.read_note(here.local / "note.json") is None
    here.publish(written(here.local / "note.json", b"one"))
    elsewhere()
    there = depot_of(s3.url)
    assert there.read_note(there.local / "note.json") == "one"
    here.publish(written(here.local / "note.json", b"two"))
    assert there.read_note(there.local / "note.json") == "two"


def test_what_isnt_there_is_said_to_be_missing(s3):
    depot = depot_of(s3.url)
    with pytest.raises(FileNotFoundError, match=f"there is no {s3.url}/a.bin"):
        depot.fetch(depot.local / "a.bin")


def test_copies_of_two_servers_are_kept_apart(s3, monkeypatch):
    one = depot_of(s3.url).local
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://me:secret@other.example:9000")
    assert depot_of(s3.url).local != one and "secret" not in str(depot_of(s3.url).local)


def test_a_bucket_that_can_be_used_is(s3):
    depot_of(s3.url).require_usable()


def test_a_bucket_that_isnt_there_is_named(s3):
    with pytest.raises(FileNotFoundError, match=r"there is no bucket nowhere-at-all on http://127.*SLIMP_DATA"):
        depot_of("s3://nowhere-at-all/data").require_usable()


def test_a_key_that_the_server_denies_is_said_to_be_without_showing_it(s3):
    s3.refuse_keys(refuse=True)
    with pytest.raises(PermissionError, match=r"denies access to s3://.*Check AWS_ACCESS_KEY_ID") as denied:
        depot_of(s3.url).require_usable()
    assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in str(denied.value)


def test_that_there_is_no_key_is_said(s3, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(PermissionError, match=r"needs a key .*Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        depot_of(s3.url).require_usable()


def test_a_server_that_is_away_or_says_nothing_is_given_up_on(s3, monkeypatch):
    monkeypatch.setattr(bucket, "_PATIENCE_S", 3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (9, silent.getsockname()[1]):
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            began = time.monotonic()
            with pytest.raises(ConnectionError, match=rf"127.0.0.1:{port}, isn't there .*AWS_ENDPOINT_URL"):
                depot_of(s3.url).require_usable()
            assert time.monotonic() - began < 8


def test_what_a_bucket_needs_is_named_where_it_isnt_installed(s3, monkeypatch):
    for name in ("s3fs", "botocore", "botocore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"kept in s3://.*pip install 'slimp-pipeline\[s3\]'"):
        depot_of(s3.url).require_usable()


def test_a_cache_that_cant_be_made_is_named(s3, tmp_path, monkeypatch):
    written(tmp_path / "file")
    monkeypatch.setenv("SLIMP_CACHE", str(tmp_path / "file"))
    with pytest.raises(PermissionError, match=r"the cache .* can't be written \(Not a directory\).*SLIMP_CACHE"):
        depot_of(s3.url).require_usable()
