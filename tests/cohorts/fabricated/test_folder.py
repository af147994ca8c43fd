"""A fabricated cohort never takes the place of anybody's files."""

import json
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


def test_other_settings_make_it_anew(tmp_path):
    provide_fabricated(SMALL, tmp_path / "made")
    provide_fabricated(OTHER, tmp_path / "made")
    assert json.loads((tmp_path / "made" / STAMP).read_text())["settings"]["num_patients"] == 4


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


def of_an_earlier_version(folder: Path) -> None:
    mine(folder)
    (folder / STAMP).write_text(OTHER.model_dump_json())


def copied_stamp(folder: Path) -> None:
    provide_fabricated(OTHER, folder.with_name("elsewhere"))
    mine(folder)
    (folder / STAMP).write_bytes((folder.with_name("elsewhere") / STAMP).read_bytes())


def added(folder: Path) -> None:
    provide_fabricated(OTHER, folder)
    (folder / "images" / "mine.jpg").write_bytes(b"irreplaceable")


def changed(folder: Path) -> None:
    provide_fabricated(OTHER, folder)
    (folder / "metadata.csv").write_text("corrected by hand")


def a_link(folder: Path) -> None:
    mine(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


def a_link_inside(folder: Path) -> None:
    mine(folder.with_name("elsewhere"))
    provide_fabricated(OTHER, folder)
    (folder / "linked").symlink_to(folder.with_name("elsewhere"))


def an_empty_folder_inside(folder: Path) -> None:
    provide_fabricated(OTHER, folder)
    (folder / "prepared").mkdir()


@pytest.mark.parametrize(
    "prepare",
    [mine, forged, of_an_earlier_version, copied_stamp, added, changed, a_link, a_link_inside, an_empty_folder_inside],
)
def test_what_wasnt_made_here_is_never_touched(tmp_path, prepare):
    folder = tmp_path / "cohort"
    prepare(folder)
    before = content(tmp_path)
    with pytest.raises(FileExistsError, match=r"cohort (is there already, and wasn't|was) fabricated.*touched"):
        provide_fabricated(SMALL, folder)
    after = content(tmp_path)
    assert {name: text for name, text in after.items() if ".lock" not in name} == {
        name: text for name, text in before.items() if ".lock" not in name
    }


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
