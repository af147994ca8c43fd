"""Versions of artifacts on disk."""

from pathlib import Path

import pytest

from slimp_pipeline.housekeeping.artifacts import version_at

RUN = "2026-01-02T00.00.00.000Z"
EXPORT = ("06_models/a/exported_model", [RUN])


@pytest.mark.parametrize(
    ("below", "found"),
    [
        (f"06_models/a/exported_model/{RUN}/exported_model", [EXPORT]),
        (f"06_models/a/exported_model/{RUN}", [EXPORT]),
        (f"06_models/b/../a/exported_model/{RUN}/exported_model/", [EXPORT]),
        ("06_models/a/exported_model", []),
        ("../elsewhere/06_models/a/exported_model", []),
    ],
)
def test_the_version_in_which_a_path_lies_is_told_from_the_path(tmp_path, below, found):
    data = tmp_path / "data"
    (data / "06_models/b").mkdir(parents=True)
    assert list(version_at(data / below, data)) == found


def test_a_link_to_a_version_is_that_version(tmp_path):
    data = tmp_path / "data"
    folder = data / "06_models/a/exported_model" / RUN / "exported_model"
    folder.mkdir(parents=True)
    (tmp_path / "mine").symlink_to(folder)
    assert list(version_at(tmp_path / "mine", data)) == [EXPORT]
    assert list(version_at(Path("mine"), data)) == []
