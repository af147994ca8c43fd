"""What a whole copy holds, held against what is there."""

import hashlib

import pytest

from archive_server import picture
from slimp_pipeline.cohorts.downloads.expected import check_expected

TABLE = b"isic_id,sex\nISIC_1,male\nISIC_2,female\n"
SHA256 = hashlib.sha256(TABLE).hexdigest()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/ISIC_1.jpg").write_bytes(picture(1))
    (tmp_path / "images/ISIC_2.jpg").write_bytes(picture(2))
    (tmp_path / "images/notes.txt").write_text("no image")
    (tmp_path / "metadata.csv").write_bytes(TABLE)
    return tmp_path


def check(spec, folder, **expected) -> list[tuple[str, str, str]]:
    return [
        (entry.name, entry.outcome, entry.reason)
        for entry in check_expected(spec(steps=["ask"], expected=expected), folder)
    ]


def test_a_whole_copy_is_as_it_should_be(spec, folder):
    file = {"file": "metadata.csv", "rows": 2, "size_bytes": len(TABLE), "checksum": f"sha256:{SHA256}"}
    assert check(spec, folder, num_images=2, files=[file]) == [
        ("metadata.csv", "got", ""), ("images", "got", "2 images"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ({"rows": 401_059}, "it has 2 rows, a whole copy has 401,059"),
        ({"size_bytes": 9}, f"it has {len(TABLE)} bytes, a whole copy has 9"),
        ({"checksum": "sha256:" + "0" * 64}, f"its checksum is sha256:{SHA256}, the published one is sha256:000"),
    ],
)
def test_a_file_that_differs_is_told_with_both_figures(spec, folder, expected, reason):
    ((name, outcome, said),) = check(spec, folder, files=[{"file": "metadata.csv", **expected}])
    assert (name, outcome) == ("metadata.csv", "failed")
    assert said.startswith(reason)


def test_what_is_not_there_is_told(spec, folder):
    assert check(spec, folder, num_images=3, files=[{"file": "meta/other.csv"}]) == [
        ("meta/other.csv", "failed", "it isn't there"), ("images", "failed", "2 images, a whole copy has 3"),
    ]  # fmt: skip


def test_a_table_that_cannot_be_read_is_told(spec, folder):
    (folder / "metadata.csv").write_bytes(b"<html>log in")
    ((_, outcome, reason),) = check(spec, folder, files=[{"file": "metadata.csv", "rows": 2}])
    assert outcome == "failed"
    assert "a web page (HTML)" in reason


def test_of_a_cohort_that_nothing_is_known_of_nothing_is_expected(spec, folder):
    assert check(spec, folder) == []
