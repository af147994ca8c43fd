"""All images of a query, though the pages shift."""

import csv
import logging

import pytest

from archive_server import instead
from slimp_pipeline.cohorts.downloads.archive import Archive
from slimp_pipeline.cohorts.downloads.listing import list_images, write_metadata
from slimp_pipeline.cohorts.downloads.pace import Pace
from slimp_pipeline.cohorts.downloads.spec import ArchiveQuery

ALL = ArchiveQuery(collections=[251])


@pytest.fixture
def listing(archive, settings):
    return lambda max_images=None: list_images(Archive(settings(), Pace(10_000)), ALL, max_images)


def ids(*numbers: int) -> set[str]:
    return {f"ISIC_{number:07d}" for number in numbers}


def test_all_that_are_counted_are_listed_once(listing, archive):
    found = listing()
    assert (found.num_counted, set(found.records), found.num_unlisted) == (10, ids(*range(1, 11)), 0)
    assert archive.asked_for("images/search/") == 1 + 4


def test_only_so_many_are_listed_as_are_asked_for(listing, archive):
    found = listing(4)
    assert (found.num_counted, set(found.records)) == (4, ids(1, 2, 3, 4))
    assert archive.asked_for("cursor=6") == 0


def test_an_image_that_a_shifting_page_skipped_is_found_on_a_second_reading(listing, archive, caplog):
    """An earlier image is withdrawn between two pages, so that a later one slips to a page that was read already."""
    caplog.set_level(logging.INFO)

    def withdraw(number):
        if number == 1 and "ISIC_0000001" in archive.images:
            del archive.images["ISIC_0000001"]

    archive.between_pages = withdraw
    found = listing()
    assert set(found.records) == ids(*range(1, 11))  # the withdrawn one was listed, and is asked for
    assert "9 of 10 images were listed: the pages shifted" in caplog.text


def test_an_image_that_came_on_two_pages_is_listed_once(listing, archive):
    def add(number):
        if number == 1 and "ISIC_0000000" not in archive.images:
            archive.images = {"ISIC_0000000": archive.images["ISIC_0000001"], **archive.images}
            archive.collections[251].append("ISIC_0000000")

    archive.between_pages = add
    found = listing()
    assert set(found.records) == ids(*range(1, 11))
    assert len(found.records) == 10


def test_more_than_were_counted_are_welcome(listing, archive):
    archive.between_pages = lambda number: archive.add_images([number + 10]) if number == 3 else None
    assert set(listing().records) == ids(*range(1, 11), 13)


def test_a_page_that_comes_twice_hides_no_image(listing, archive):
    first = lambda handler, _: handler.send_json(  # noqa: E731
        {
            "count": None,
            "results": [archive.record(name) for name in sorted(ids(1, 2, 3))],
            "next": f"{archive.address}/images/search/?query=&collections=251&cursor=6",
        }
    )
    archive.misbehave("cursor=3", first)
    found = listing()
    assert (set(found.records), found.num_unlisted) == (ids(*range(1, 11)), 0)


def test_images_that_never_come_up_are_counted(listing, archive):
    archive.misbehave("cursor=9", instead(b'{"results": [], "next": null}'), always=True)
    found = listing()
    assert (len(found.records), found.num_unlisted) == (9, 1)
    assert archive.asked_for("cursor=9") == 3


def test_images_that_are_listed_wrongly_are_not_missed(listing, archive):
    archive.listed["ISIC_0000004"] = {"isic_id": "..\\x"}
    found = listing()
    assert (len(found.records), len(found.wrong), found.num_unlisted) == (9, 1, 0)


def test_nothing_found_or_nothing_known_of_it_is_refused(listing, archive):
    for name in archive.images:
        archive.listed[name]["metadata"] = {"acquisition": {}, "clinical": {}}
    with pytest.raises(ValueError, match="gives no metadata of any of 10 images: an empty table"):
        listing()
    for name in archive.images:
        archive.listed[name]["files"] = {}
    with pytest.raises(ValueError, match="counts 10 images and lists none that can be got"):
        listing()
    archive.images.clear()
    with pytest.raises(ValueError, match="has no image for collections 251"):
        listing()


def test_metadata_are_written_as_isic_cli_does(listing, archive, tmp_path):
    archive.listed["ISIC_0000002"] = {
        "copyright_license": None,
        "metadata": {
            "acquisition": {},
            "clinical": {"family_hx_mm": True, "isic_id": "x", "note": 'a "quote",\nand more'},
        },
    }
    write_metadata(list(listing(2).records.values()), tmp_path / "metadata.csv")
    with (tmp_path / "metadata.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert list(first)[:4] == ["isic_id", "attribution", "copyright_license", "age_approx"]
    assert (first["isic_id"], first["sex"], first["family_hx_mm"]) == ("ISIC_0000001", "male", "")
    assert (second["isic_id"], second["family_hx_mm"], second["copyright_license"]) == ("ISIC_0000002", "True", "")
    assert second["note"] == 'a "quote",\nand more'
