"""Images of the archive, each accounted for."""

import errno
import json
import os
import threading

import pytest

from archive_server import cut, dripping, instead, status
from slimp_pipeline.cohorts.downloads import images
from slimp_pipeline.cohorts.downloads.archive import Archive
from slimp_pipeline.cohorts.downloads.images import fetch_images
from slimp_pipeline.cohorts.downloads.ledger import Ledger
from slimp_pipeline.cohorts.downloads.listing import list_images
from slimp_pipeline.cohorts.downloads.pace import Interrupted, Pace
from slimp_pipeline.cohorts.downloads.place import Place
from slimp_pipeline.cohorts.downloads.spec import ArchiveQuery

ALL = ArchiveQuery(collections=[251])


@pytest.fixture
def place(tmp_path):
    one = Place(tmp_path / "x")
    one.begin({})
    return one


@pytest.fixture
def listing(archive, settings):
    return lambda **changes: list_images(Archive(settings(**changes), Pace(10_000)), ALL, None)


@pytest.fixture
def fetch(archive, settings, place, listing):
    def run(found=None, **changes):
        chosen = settings(**changes)
        pace = Pace(10_000)
        entries = fetch_images(found or listing(), Archive(chosen, pace), place, Ledger(place.ledger), chosen, pace)
        return {entry.image_id: entry for entry in entries}

    return run


def there(place) -> dict[str, bytes]:
    return {file.name.split(".")[0]: file.read_bytes() for file in (place.staging / "images").iterdir()}


def test_every_image_is_got_and_stands_in_the_ledger(fetch, archive, place):
    entries = fetch()
    assert there(place) == archive.images
    assert {entry.outcome for entry in entries.values()} == {"got"}
    assert {(entry.licence, entry.attribution) for entry in entries.values()} == {
        ("CC-0", "Clinic of the Loopback"), ("CC-BY", "Clinic of the Loopback"),
    }  # fmt: skip
    assert list(entries) == list(archive.images)
    assert set(Ledger(place.ledger)) == set(entries.values())
    assert not any(place.parts.iterdir())


def test_each_misfortune_has_its_own_line_and_the_others_come(fetch, archive, listing, place):
    archive.add_images([11, 12])
    found = listing()
    del archive.images["ISIC_0000002"]
    misfortunes = {
        1: status(500), 3: instead(b"<html>log in"), 4: instead(archive.images["ISIC_0000005"]), 6: status(429),
    }  # fmt: skip
    for number, answer in misfortunes.items():
        archive.misbehave(f"storage/ISIC_{number:07d}", answer, always=True)
    archive.misbehave("storage/ISIC_0000007", cut(200), status(503), cut(100))
    entries = fetch(found)
    reasons = {int(name[5:]): entry.reason for name, entry in entries.items() if entry.outcome == "failed"}
    assert set(reasons) == {1, 2, 3, 4, 6, 7}
    assert "500 Internal Server Error" in reasons[1]
    assert reasons[2] == "the archive has no such image any more"
    assert reasons[3] == "a web page (HTML), not a JPEG or PNG came (12 bytes)"
    assert "bytes came instead of" in reasons[4]
    assert "429" in reasons[6]
    assert "the connection was cut" in reasons[7]
    assert {entry.num_tries for name, entry in entries.items() if int(name[5:]) in (1, 3, 4, 6, 7)} == {3}
    assert set(there(place)) == {f"ISIC_{number:07d}" for number in (5, 8, 9, 10, 11, 12)}


def test_addresses_that_expired_since_the_listing_are_renewed(fetch, archive, listing, place):
    found = listing()
    archive.signature = 2
    entries = fetch(found)
    assert {entry.num_tries for entry in entries.values()} == {2}
    assert there(place) == archive.images


def test_an_image_that_was_replaced_since_the_listing_is_got_as_it_is_now(fetch, archive, listing, place):
    found = listing()
    archive.images["ISIC_0000001"] = archive.images["ISIC_0000002"] + b"\0"
    assert fetch(found)["ISIC_0000001"].num_bytes == len(archive.images["ISIC_0000001"])
    assert there(place)["ISIC_0000001"] == archive.images["ISIC_0000001"]


def test_what_was_got_is_not_asked_for_again_and_what_failed_is(fetch, archive, place):
    archive.misbehave("storage/ISIC_0000003", status(500), status(500), status(500))
    assert fetch()["ISIC_0000003"].outcome == "failed"
    archive.requests.clear()
    entries = fetch()
    assert archive.asked_for("/storage/") == 1
    assert (entries["ISIC_0000003"].outcome, entries["ISIC_0000003"].num_tries) == ("got", 4)
    assert {entry.outcome for entry in entries.values()} == {"got"}


@pytest.mark.parametrize("harm", ["removed", "shortened", "replaced in the archive", "forgotten by the ledger"])
def test_what_the_ledger_says_is_held_against_what_is_there(fetch, archive, place, harm):
    fetch()
    file = place.staging / "images/ISIC_0000001.jpg"
    if harm == "removed":
        file.unlink()
    elif harm == "shortened":
        file.write_bytes(file.read_bytes()[:-1])
    elif harm == "replaced in the archive":
        archive.images["ISIC_0000001"] = archive.images["ISIC_0000001"] + b"\0"
    else:
        lines = [line for line in place.ledger.read_text().splitlines() if "ISIC_0000001" not in line]
        place.ledger.write_text("\n".join(lines))
    archive.requests.clear()
    assert fetch()["ISIC_0000001"].outcome == "got"
    assert there(place) == archive.images
    assert archive.asked_for("/storage/") == (harm != "forgotten by the ledger")


def test_an_image_that_the_archive_withdrew_is_removed(fetch, archive, place):
    fetch()
    del archive.images["ISIC_0000001"]
    assert "ISIC_0000001" not in fetch()
    assert there(place) == archive.images
    assert json.loads(place.ledger.read_text().splitlines()[-1])["reason"] == "the archive doesn't list it any more"


def test_images_that_are_listed_wrongly_or_never_are_accounted_for(fetch, archive):
    archive.listed["ISIC_0000004"] = {"isic_id": "../../evil"}
    archive.misbehave("cursor=9", instead(b'{"results": [], "next": null}'), always=True)
    failed = {name: entry.reason for name, entry in fetch().items() if entry.outcome == "failed"}
    assert failed == {
        "'../../evil'": "the archive lists it under an id that is none of its own (ISIC_0000000)",
        "unlisted 1": "the archive counts it, and lists it on no page",
    }


def test_a_name_of_the_server_is_no_name_of_a_file(fetch, archive, place):
    picture = archive.images["ISIC_0000001"]
    archive.files["/x/evil.php"] = picture
    file = {"url": f"{archive.root}/x/evil.php?a=.exe", "size": len(picture)}
    archive.listed["ISIC_0000001"] = {"files": {"full": file}}
    fetch()
    assert there(place) == archive.images
    assert {file.suffix for file in (place.staging / "images").iterdir()} == {".jpg"}


def test_after_many_failures_in_a_row_the_rest_is_not_tried_and_says_so(fetch, archive, monkeypatch):
    monkeypatch.setattr(images, "_GIVE_UP_AFTER", 4)
    archive.add_images(range(11, 31))
    archive.misbehave("/storage/", status(500), always=True)
    entries = fetch(num_connections=1, max_tries=1)
    reasons = [entry.reason for entry in entries.values()]
    assert len(reasons) == 30
    assert 4 <= sum("500" in reason for reason in reasons) <= 6
    assert reasons[-1] == "not tried: 4 images in a row failed before it"


def test_room_is_looked_for_before_the_first_image(fetch, archive, monkeypatch):
    total = sum(map(len, archive.images.values()))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": total - 1}))
    with pytest.raises(OSError, match=r"what is left, 10 images, needs 10.2 kB"):
        fetch()
    assert archive.asked_for("/storage/") == 0


def test_a_disk_that_fills_up_ends_the_run_and_keeps_what_came(fetch, archive, place, monkeypatch):
    real = os.replace

    def full(source, target):
        if "ISIC_0000005" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr("pathlib.Path.replace", lambda self, target: full(self, target))
    with pytest.raises(OSError, match="No space left"):
        fetch(num_connections=1)
    monkeypatch.undo()
    assert "ISIC_0000001" in there(place)
    archive.requests.clear()
    assert {entry.outcome for entry in fetch().values()} == {"got"}
    assert archive.asked_for("ISIC_0000001") == 0


def test_a_run_that_is_stopped_lets_its_threads_end_at_once(archive, settings, place, listing):
    archive.misbehave("/storage/", dripping(0.02), always=True)
    chosen, pace = settings(), Pace(10_000)
    threading.Timer(0.3, pace.stop).start()
    with pytest.raises(Interrupted):
        fetch_images(listing(), Archive(chosen, pace), place, Ledger(place.ledger), chosen, pace)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("download")]
