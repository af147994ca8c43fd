"""A fabricated cohort never takes the place of anybody's files."""

import os
import threading
from pathlib import Path

import pytest

from slimp_pipeline.cohorts.fabricated.folder import STAMP, provide_fabricated
from slimp_pipeline.cohorts.spec import FabricatedSpec

SMALL = FabricatedSpec(layout="clinic", num_patients=3, seed=1)
OTHER = FabricatedSpec(layout="clinic", num_patients=4, seed=1)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_cohort_is_made_once_and_kept(tmp_path):
    provide_fabricated(SMALL, tmp_path / "made")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*")}
    provide_fabricated(SMALL, tmp_path / "made")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*")} == before
    assert len(before) > 4


def test_a_cohort_of_other_settings_is_made_beside_and_the_first_stays(tmp_path):
    assert provide_fabricated(SMALL, tmp_path / "made") == tmp_path / "made"
    before = content(tmp_path / "made")
    other = provide_fabricated(OTHER, tmp_path / "made")
    assert other.parent == tmp_path and other != tmp_path / "made"
    assert content(tmp_path / "made") == before and content(other)["metadata.csv"] != before["metadata.csv"]
    assert (
        provide_fabricated(OTHER, tmp_path / "made") == other and provide_fabricated(SMALL, tmp_path / "made") != other
    )


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "made").mkdir()
    provide_fabricated(SMALL, tmp_path / "made")
    assert (tmp_path / "made" / STAMP).is_file()


def mine(folder: Path) -> None:
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "mine.jpg").write_bytes(b"irreplaceable")


def forged(folder: Path) -> None:
    mine(folder)
    (folder / STAMP).write_text("{}")


def garbage(folder: Path) -> None:
    mine(folder)
    (folder / STAMP).write_bytes(b"\xff\xfe")


def a_link(folder: Path) -> None:
    mine(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


@pytest.mark.parametrize("prepare", [mine, forged, garbage, a_link])
def test_what_wasnt_fabricated_is_never_touched(tmp_path, prepare):
    folder = tmp_path / "cohort"
    prepare(folder)
    before = content(tmp_path)
    with pytest.raises(FileExistsError, match=r"cohort is there already, and wasn't fabricated: nothing .* touched"):
        provide_fabricated(SMALL, folder)
    assert {name: text for name, text in content(tmp_path).items() if ".lock" not in name} == before


@pytest.mark.parametrize("settings", [SMALL, OTHER])
def test_files_that_were_put_into_a_fabricated_folder_stay(tmp_path, settings):
    provide_fabricated(SMALL, tmp_path / "made")
    (tmp_path / "made" / "images" / "mine.jpg").write_bytes(b"irreplaceable")
    provide_fabricated(settings, tmp_path / "made")
    assert (tmp_path / "made" / "images" / "mine.jpg").read_bytes() == b"irreplaceable"


def test_two_that_make_it_at_once_both_find_it_whole(tmp_path):
    failures = []

    def make():
        try:
            provide_fabricated(SMALL, tmp_path / "made")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [name for name in os.listdir(tmp_path) if not name.startswith(".made.lock")] == ["made"]
