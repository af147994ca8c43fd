"""A project in which nothing can be kept is refused before anything is computed."""

import os
from pathlib import Path

import pytest

from slimp_pipeline.hooks.tracking import _require_writable


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    _require_writable(tmp_path / "data")
    monkeypatch.setattr(os, "access", lambda place, _: place != tmp_path / "data")
    with pytest.raises(PermissionError, match=rf"{tmp_path}/data can't be written, and results are kept there"):
        _require_writable(tmp_path / "data")


def test_a_folder_that_is_yet_to_be_made_needs_the_right_to_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _require_writable(tmp_path / "data")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match=rf"^{tmp_path} can't be written"):
        _require_writable(tmp_path / "data")


def test_a_link_to_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/nowhere/data")
    with pytest.raises(FileNotFoundError, match="is a link to /nowhere/data, which isn't there"):
        _require_writable(tmp_path / "data")
