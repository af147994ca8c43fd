"""Where a cohort's files are put together, and how they get their place."""

import json
import os

import pytest

from slimp_pipeline.cohorts.downloads.place import Place
from slimp_pipeline.processes.whole import temporary_name


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "raw/x")


def test_all_files_get_their_place_in_one_step_and_nothing_else_stays(place):
    place.begin({"collections": [251]})
    (place.parts / "half").write_bytes(b"1")
    (place.staging / "metadata.csv").write_text("isic_id\n")
    assert not place.target.exists()
    place.land({"request": {"collections": [251]}})
    assert sorted(file.name for file in place.target.iterdir()) == ["download.json", "metadata.csv"]
    assert not place.staging.exists()
    assert place.stamp() == {"request": {"collections": [251]}}


def test_an_empty_folder_is_taken(place):
    place.target.mkdir(parents=True)
    assert place.stamp() is None
    place.begin({})
    place.land({"a": 1})
    assert place.stamp() == {"a": 1}


@pytest.mark.parametrize("stamp", [None, "no JSON", "[1]"])
def test_a_folder_that_no_download_made_is_left_alone(place, stamp):
    place.target.mkdir(parents=True)
    (place.target / "mine.csv").write_text("mine")
    if stamp:
        (place.target / "download.json").write_text(stamp)
    with pytest.raises(FileExistsError, match="is there already, and no download made it: nothing in it was touched"):
        place.stamp()


def test_what_was_got_of_one_request_is_no_start_for_another(place):
    place.begin({"collections": [251]})
    place.begin({"collections": [251]})
    with pytest.raises(
        FileExistsError, match=r"another request \(.*251.*\). Ask for that again to end it, or remove it"
    ):
        place.begin({"collections": [70]})


def test_what_killed_runs_left_unfinished_is_removed(place):
    place.begin({})
    left = temporary_name(place.staging / "images/a.jpg")
    left = left.with_name(left.name.replace(f"-{os.getpid()}-", "-99999999-"))
    left.parent.mkdir()
    left.write_bytes(b"half")
    place.begin({})
    assert not left.exists()


def test_the_stamp_is_json_that_people_can_read(place):
    place.begin({})
    place.land({"cohort": "x"})
    assert json.loads((place.target / "download.json").read_text()) == {"cohort": "x"}
