"""The ISIC Archive, asked through isic-cli's client."""

import json
import subprocess
import sys

import pytest

from archive_server import instead, late, status
from slimp_pipeline.cohorts.downloads.answers import Vanished
from slimp_pipeline.cohorts.downloads.archive import Archive, in_words
from slimp_pipeline.cohorts.downloads.pace import Pace
from slimp_pipeline.cohorts.downloads.spec import ArchiveQuery

ALL = ArchiveQuery(collections=[251])


@pytest.fixture
def asked(archive, settings):
    return Archive(settings(), Pace(10_000))


def listed(asked, query=ALL) -> list[str]:
    return [record if isinstance(record, str) else record.isic_id for record in asked.records(query)]


def test_every_page_is_read_in_order(asked, archive):
    assert asked.count(ALL) == 10
    assert listed(asked) == [f"ISIC_{number:07d}" for number in range(1, 11)]


def test_a_search_is_passed_on_as_it_is_written(asked, archive):
    archive.add_images([20], diagnosis_3="Nevus & more")
    query = ArchiveQuery(search='diagnosis_3:"Nevus & more"')
    assert asked.count(query) == 1
    assert listed(asked, query) == ["ISIC_0000020"]
    assert listed(asked, ArchiveQuery(collections=[251], search="sex:male")) == [
        f"ISIC_{n:07d}" for n in (1, 3, 5, 7, 9)
    ]


def test_a_doi_is_looked_up_and_joins_the_collections(asked, archive):
    archive.add_images([30], collection=7)
    archive.dois = {7: "10.34970/587329"}
    found = asked.require_query(ArchiveQuery(collections=[251], doi="10.34970/587329", search="sex:male"))
    assert found == ArchiveQuery(collections=[7, 251], search="sex:male")
    with pytest.raises(ValueError, match=r"no public collection of .* has the DOI 10.34970/1"):
        asked.require_query(ArchiveQuery(doi="10.34970/1"))


def test_a_collection_that_is_not_there_is_named(asked):
    with pytest.raises(ValueError, match="there is no public collection 390 in the archive"):
        asked.require_query(ArchiveQuery(collections=[390]))


def test_a_search_that_the_archive_does_not_understand_is_told_with_its_answer(asked):
    with pytest.raises(ValueError, match=r"doesn't understand the search 'sex:\(\(': .*Couldn't parse search query"):
        asked.count(ArchiveQuery(search="sex:(("))


@pytest.mark.parametrize("fault", [status(429), status(429, Retry_After="1"), status(500), status(503)])
def test_a_busy_archive_is_asked_again(asked, archive, fault):
    archive.misbehave("cursor=3", fault, fault)
    assert len(listed(asked)) == 10


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (status(500), "says 500 Internal Server Error when asked for the images for collections 251"),
        (status(403), "says 403"),
        (instead(b"<html>maintenance"), "sends no JSON when asked for"),
        (instead(b'{"count": 1}'), "answers otherwise than it should when asked for .*KeyError"),
        (instead(b"[1, 2]"), "answers otherwise than it should"),
        (instead(json.dumps({"results": ["x"], "next": None}).encode()), "answers otherwise than it should"),
    ],
    ids=["500", "403", "page", "count", "list", "texts"],
)
def test_an_archive_that_fails_is_told_in_words(asked, archive, fault, words):
    archive.misbehave("images/search/[?]query=&collections=251$", fault, always=True)
    with pytest.raises(ConnectionError, match=words):
        listed(asked)


def test_an_archive_that_is_silent_or_not_there_is_told(archive, settings):
    archive.misbehave("search", late(1), always=True)
    with pytest.raises(ConnectionError, match="doesn't answer when asked for the number of images"):
        Archive(settings(timeout_s=0.1, max_tries=2), Pace(10_000)).count(ALL)
    with pytest.raises(ConnectionError, match=r"http://127.0.0.1:9/api/v2 doesn't answer .*Check download.archive"):
        Archive(settings(archive="http://127.0.0.1:9/api/v2", max_tries=1), Pace(10_000)).count(ALL)


def test_an_image_is_found_again_or_has_vanished(asked, archive):
    archive.signature = 2
    assert asked.renewed("ISIC_0000001").url.endswith("ISIC_0000001.jpg?signature=2")
    with pytest.raises(Vanished, match="no such image any more"):
        asked.renewed("ISIC_9999999")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"isic_id": "../../etc/passwd"},
            "'../../etc/passwd': the archive lists it under an id that is none of its own",
        ),
        ({"isic_id": "ISIC_0000001/../x"}, "an id that is none"),
        ({"isic_id": None}, "'None': the archive lists it without a usable isic_id"),
        ({"files": {}}, "'ISIC_0000001': the archive lists it without a usable files.full"),
        ({"files": {"full": {"url": "x", "size": -1}}}, "without a usable files.full.size"),
        ({"files": {"full": {"url": "file:///etc/passwd", "size": 1}}}, "with an address that is none"),
    ],
)
def test_an_image_that_is_listed_wrongly_is_named_with_what_is_wrong(asked, archive, changes, words):
    archive.listed["ISIC_0000001"] = changes
    first, *others = listed(asked)
    assert words in first
    assert len(others) == 9


def test_an_archive_that_repeats_itself_without_end_is_left(asked, archive):
    page = lambda handler, _: handler.send_json(  # noqa: E731
        {"results": [archive.record("ISIC_0000001")], "next": f"{archive.address}/images/search/?again"}
    )
    archive.misbehave("images/search/", page, always=True)
    assert set(listed(asked)) == {"ISIC_0000001"}


def test_texts_of_licences_are_got_where_the_archive_has_them(asked, archive):
    assert asked.licence_text("CC-BY") == "Name us."
    assert asked.licence_text("CC-BY-NC") is None
    assert asked.licence_text("../CC-BY") is None
    assert archive.asked_for("..") == 0


def test_what_is_asked_for_is_said_as_people_say_it():
    assert (
        in_words(ArchiveQuery(collections=[212, 251], search="sex:male")) == "collections 212, 251 with search sex:male"
    )
    assert in_words(ArchiveQuery(doi="10.34970/587329")) == "DOI 10.34970/587329"


def test_no_error_reporter_is_loaded_with_isic_clis_client():
    code = "import sys, slimp_pipeline.cohorts.downloads.images; print([m for m in sys.modules if m in {unwanted}])"
    command = [sys.executable, "-c", code.format(unwanted=["sentry_sdk", "isic_cli.cli"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
