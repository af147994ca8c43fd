"""Files and folders appear whole, beside whatever other processes write; what dead ones left is removed."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from slimp_pipeline.processes.whole import appearing_whole, held, remove_left_over, temporary_name


def test_a_file_takes_its_place_in_one_step(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    for text in ("first", "second"):
        with appearing_whole(target) as temporary:
            temporary.write_text(text)
            assert not target.exists() or target.read_text() == "first"
        assert target.read_text() == text
    assert os.listdir(target.parent) == ["file.txt"]


def test_what_fails_leaves_the_target_and_no_trace(tmp_path):
    target = tmp_path / "new" / "deeper" / "file.txt"
    with pytest.raises(RuntimeError), appearing_whole(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_what_a_library_wrote_for_its_owner_alone_has_the_mode_of_any_file(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with appearing_whole(tmp_path / "folder") as folder:
            folder.mkdir()
            save_file({"weight": np.zeros(3)}, folder / "weights.safetensors")
            (folder / "program").touch(mode=0o700)
        with appearing_whole(tmp_path / "alone.safetensors") as alone:
            save_file({"weight": np.zeros(3)}, alone)
    finally:
        os.umask(before)
    written = [tmp_path / "folder/weights.safetensors", tmp_path / "alone.safetensors"]
    assert [path.stat().st_mode & 0o777 for path in written] == [mode, mode]
    assert (tmp_path / "folder/program").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "alone.safetensors",
        "folder",
        "program",
        "weights.safetensors",
    ]


def test_a_folder_that_holds_something_is_never_replaced(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine.txt").write_text("mine")
    with (
        pytest.raises(FileExistsError, match="target is there already"),
        appearing_whole(tmp_path / "target") as temporary,
    ):
        temporary.mkdir()
    assert os.listdir(tmp_path) == ["target"] and (tmp_path / "target" / "mine.txt").read_text() == "mine"


def _dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_what_provably_dead_processes_left_is_removed(tmp_path):
    own = temporary_name(tmp_path / "data.csv").name
    host, machine, boot, numbering, number, started, rest = own.removeprefix(".unfinished-").split("-", 6)
    dead = _dead_process()

    def left_by(number, host=host, numbering=numbering, boot=boot, started=started):
        return f".unfinished-{host}-{machine}-{boot}-{numbering}-{number}-{started}-{rest}"

    kept = {
        own,
        left_by(dead, host="0123456789abcdef"),  # on another machine
        left_by(dead, numbering="1"),  # in another container, though it has the same name
        left_by(number, numbering="1"),
        left_by(dead, numbering=""),
        left_by(dead, boot=""),
        ".unfinished-data.csv",  # nobody's name
        f".unfinished-some-host-{dead}-7-data.csv",
        left_by(dead).removeprefix("."),
        "data.csv",
    }
    left = {left_by(dead), left_by(number, started="1")}  # its number is used again
    for name in (*kept, *left):
        (tmp_path / name).write_text("x")
    (tmp_path / f"{left_by(dead)}.folder").mkdir()
    (tmp_path / f"{left_by(dead)}.folder" / "part").write_text("x")
    assert len(remove_left_over(tmp_path)) == len(left) + 1
    assert set(os.listdir(tmp_path)) == kept


def test_a_left_over_link_is_removed_and_what_it_points_to_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_text("x")
    link = temporary_name(tmp_path / "store").name.replace(f"-{os.getpid()}-", f"-{_dead_process()}-")
    (tmp_path / link).symlink_to(tmp_path / "mine")
    remove_left_over(tmp_path)
    assert os.listdir(tmp_path) == ["mine"] and os.listdir(tmp_path / "mine") == ["photo.jpg"]


def test_threads_and_processes_write_under_names_of_their_own(tmp_path):
    names = {temporary_name(tmp_path / "file")}
    thread = threading.Thread(target=lambda: names.add(temporary_name(tmp_path / "file")))
    thread.start()
    thread.join()
    assert len(names) == 2


def _append_twice(folder, number):
    with held(folder / "lock", f"writing {number}"):
        with (folder / "log").open("a") as log:
            log.write(f"{number} ")
        time.sleep(0.05)
        with (folder / "log").open("a") as log:
            log.write(f"{number} ")


@pytest.mark.parametrize("kind", [threading.Thread, multiprocessing.get_context("fork").Process])
def test_a_lock_is_held_by_one_at_a_time(tmp_path, kind):
    workers = [kind(target=_append_twice, args=(tmp_path, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    numbers = (tmp_path / "log").read_text().split()
    assert numbers[0::2] == numbers[1::2] and set(numbers) == {"0", "1", "2"}


def test_who_waits_is_told_who_holds_the_lock(tmp_path, caplog):
    waiting = threading.Thread(target=_append_twice, args=(tmp_path, 1))
    with caplog.at_level("INFO"):
        with held(tmp_path / "lock", "packing images of my_clinic"):
            waiting.start()
            time.sleep(0.3)
        waiting.join()
    assert f"Waiting for process {os.getpid()} on " in caplog.text
    assert "which has been packing images of my_clinic since" in caplog.text


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from slimp_pipeline.processes.whole import held\n"
        "with held(Path(sys.argv[1]), 'sleeping'):\n    print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    process.kill()
    process.wait()
    with held(tmp_path / "lock", "going on"):
        assert f"process {os.getpid()} on " in (tmp_path / "lock.holder").read_text()
