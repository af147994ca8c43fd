"""The history of a run, and its file that only grows."""

import math

import pytest

from slimp_pipeline.training.history import History, Value


def test_only_what_is_new_is_written_and_all_comes_back(tmp_path):
    history = History(tmp_path / "run")
    history.note(1, 1, {"loss": 0.1, "grad_norm": math.inf})
    first = history.keep()
    file = tmp_path / "run/history.jsonl"
    before = file.stat().st_ino, file.read_bytes()
    history.note(2, 1, {"loss": 1 / 3})
    second = history.keep()
    assert file.stat().st_ino == before[0] and file.read_bytes().startswith(before[1])
    assert (first, second) == (len(before[1]), file.stat().st_size)
    assert History(tmp_path / "run", second).values == [
        Value(1, 1, "loss", 0.1), Value(1, 1, "grad_norm", math.inf), Value(2, 1, "loss", 1 / 3)
    ]  # fmt: skip


def test_what_was_written_after_the_checkpoint_is_cut_off(tmp_path):
    history = History(tmp_path)
    history.note(1, 1, {"loss": 1.0})
    size = history.keep()
    history.note(2, 1, {"loss": 2.0})
    history.keep()  # and then the run was killed, before its checkpoint
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'[3, 1, "lo')
    resumed = History(tmp_path, size)
    assert resumed.values == [Value(1, 1, "loss", 1.0)]
    resumed.note(2, 1, {"loss": 5.0})
    assert History(tmp_path, resumed.keep()).values == [Value(1, 1, "loss", 1.0), Value(2, 1, "loss", 5.0)]


@pytest.mark.parametrize(
    ("kept", "what"),
    [(b"[1, 1", "has 5 bytes, 20 are needed"), (b"[1, 1, 'loss', 1.0]\n", "can't be read"), (None, "can't be read")],
    ids=["truncated", "no JSON", "absent"],
)
def test_a_damaged_file_is_named(tmp_path, kept, what):
    history = History(tmp_path)
    history.note(1, 1, {"loss": 1.0})
    size = history.keep()
    if kept is None:
        (tmp_path / "history.jsonl").unlink()
    else:
        (tmp_path / "history.jsonl").write_bytes(kept)
    with pytest.raises(ValueError, match=f"is damaged: history.jsonl {what}.*this training then begins anew"):
        History(tmp_path, size)


def test_a_run_that_keeps_no_checkpoint_has_a_history_too():
    history = History()
    history.note(1, 1, {"loss": 1.0})
    assert history.values == [Value(1, 1, "loss", 1.0)]
