"""One file over HTTP, from a server that misbehaves."""

import errno
import hashlib
import threading
import time
from pathlib import Path

import pytest

from archive_server import cut, dripping, etag, instead, late, picture, status
from slimp_pipeline.cohorts.downloads import transfer
from slimp_pipeline.cohorts.downloads.answers import Vanished
from slimp_pipeline.cohorts.downloads.contents import picture_suffix
from slimp_pipeline.cohorts.downloads.pace import Interrupted, Pace
from slimp_pipeline.cohorts.downloads.transfer import Source, Transfer, Unfetched

BODY = picture(7, side=64)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def source(archive):
    archive.files["/f.jpg"] = BODY
    return Source(f"{archive.root}/f.jpg", len(BODY))


@pytest.fixture
def fetch(settings, source, tmp_path):
    def run(of=source, *, check=picture_suffix, max_bytes=1e6, renew=None, pace=None, **changes):
        one = Transfer(settings(**changes), pace or Pace(10_000))
        return one.fetch(of, tmp_path / "parts/f", check, max_bytes=max_bytes, renew=renew)

    return run


def ranges(archive) -> list[str]:
    return [asked for _, asked in archive.requests]


def test_a_file_comes_whole(fetch, tmp_path):
    fetched = fetch()
    assert (fetched.num_bytes, fetched.sha256, fetched.num_tries) == (len(BODY), SHA256, 1)
    assert (tmp_path / "parts/f").read_bytes() == BODY


@pytest.mark.parametrize("code", [429, 500, 502, 503, 408])
def test_what_may_pass_is_tried_again(fetch, archive, code):
    archive.misbehave("f.jpg", status(code), status(code))
    assert fetch().num_tries == 3


@pytest.mark.parametrize("code", [429, 503])
def test_all_wait_as_long_as_the_server_asks(fetch, archive, code):
    archive.misbehave("f.jpg", status(code, Retry_After="1"))
    began = time.monotonic()
    assert fetch(max_wait_s=5).num_tries == 2
    assert 1 <= time.monotonic() - began < 3


def test_nobody_waits_longer_than_is_set_whatever_the_server_asks(fetch, archive):
    archive.misbehave(
        "f.jpg", status(429, Retry_After="86400"), status(429, Retry_After="Fri, 31 Dec 2199 23:59:59 GMT")
    )
    began = time.monotonic()
    assert fetch().num_tries == 3
    assert time.monotonic() - began < 2


def test_a_server_that_is_always_busy_is_given_up_on(fetch, archive):
    archive.misbehave("f.jpg", status(429), always=True)
    with pytest.raises(Unfetched, match="the server says 429 Too Many Requests") as caught:
        fetch()
    assert caught.value.num_tries == 3 == len(archive.requests)


def test_a_cut_connection_is_gone_on_with_where_it_was_cut(fetch, archive):
    archive.misbehave("f.jpg", cut(100), cut(50))
    assert fetch().sha256 == SHA256
    assert ranges(archive) == ["", "bytes=100-", "bytes=50-"]  # the second answer was all of it anew


def test_where_a_server_knows_no_ranges_all_of_it_comes_again(fetch, archive):
    archive.ranges = False
    archive.misbehave("f.jpg", cut(100))
    assert fetch().sha256 == SHA256


def test_a_file_that_was_replaced_meanwhile_is_not_pieced_together(fetch, archive):
    old = picture(8, side=64)
    archive.misbehave("f.jpg", lambda handler, _: cut(100)(handler, old))
    assert fetch().sha256 == SHA256
    assert etag(old) != etag(BODY)


def test_a_part_that_an_earlier_run_left_is_gone_on_with(fetch, archive, tmp_path):
    archive.misbehave("f.jpg", cut(100), always=True)
    archive.ranges = False
    with pytest.raises(Unfetched, match="the connection was cut; 100 B came so far"):
        fetch()
    archive.ranges = True
    archive._faults.clear()
    archive.requests.clear()
    assert fetch().num_tries == 1
    assert ranges(archive) == ["bytes=100-"]


def test_a_part_that_nothing_tells_the_file_of_is_fetched_anew(fetch, archive, tmp_path):
    part = tmp_path / "parts/f"
    part.parent.mkdir()
    part.write_bytes(b"x" * 100)
    assert fetch().sha256 == SHA256
    assert ranges(archive) == [""]


def test_with_a_checksum_such_a_part_is_gone_on_with_and_one_of_another_file_is_found_out(fetch, archive, tmp_path):
    part = tmp_path / "parts/f"
    part.parent.mkdir()
    known = Source(f"{archive.root}/f.jpg", len(BODY), f"sha256:{SHA256}")
    part.write_bytes(BODY[:100])
    assert fetch(known).sha256 == SHA256
    part.write_bytes(b"x" * 100)
    assert fetch(known, check=lambda _: None).num_tries == 2
    assert ranges(archive) == ["bytes=100-", "bytes=100-", ""]


def test_a_part_longer_than_the_file_is_fetched_anew(fetch, archive, tmp_path):
    part = tmp_path / "parts/f"
    part.parent.mkdir()
    part.write_bytes(BODY + b"more")
    part.with_name("f.etag").write_text(etag(BODY))
    assert fetch().sha256 == SHA256
    assert ranges(archive) == [f"bytes={len(BODY) + 4}-", ""]


def test_a_server_that_sends_another_part_than_was_asked_for_is_not_believed(fetch, archive):
    wrong = {"Content-Range": f"bytes 50-{len(BODY) - 1}/{len(BODY)}"}
    archive.misbehave("f.jpg", cut(100), lambda handler, body: handler.send(206, body[50:], **wrong))
    assert fetch().sha256 == SHA256
    assert ranges(archive) == ["", "bytes=100-", ""]


def test_a_web_page_instead_of_a_picture_is_told(fetch, archive):
    archive.misbehave("f.jpg", instead(b"<!DOCTYPE html><p>Please log in"), always=True)
    with pytest.raises(Unfetched, match=r"a web page \(HTML\), not a JPEG or PNG came \(31 bytes\)"):
        fetch()


def test_a_picture_of_another_length_than_is_listed_is_no_whole_one(fetch, archive):
    archive.misbehave("f.jpg", instead(picture(1)), always=True)
    with pytest.raises(Unfetched, match=r"[\d,]+ bytes came instead of [\d,]+"):
        fetch()
    archive._faults.clear()
    archive.misbehave("f.jpg", instead(BODY[:-10]))
    assert fetch().num_tries == 2  # a JPEG whose end is missing


def test_a_wrong_checksum_is_told_with_both(fetch, source):
    with pytest.raises(Unfetched, match=f"its checksum is sha256:{SHA256}, not the published sha256:0"):
        fetch(Source(source.url, checksum="sha256:" + "0" * 64))
    md5 = hashlib.md5(BODY).hexdigest()
    assert fetch(Source(source.url, checksum=f"md5:{md5}")).sha256 == SHA256


def test_a_silent_server_is_asked_again(fetch, archive):
    archive.misbehave("f.jpg", late(1.0))
    assert fetch(timeout_s=0.2).num_tries == 2


def test_a_server_that_sends_next_to_nothing_is_asked_again(fetch, archive):
    archive.misbehave("f.jpg", dripping(0.05))
    began = time.monotonic()
    assert fetch(timeout_s=0.3).num_tries == 2
    assert time.monotonic() - began < 3


def test_a_server_that_is_not_there_is_told(fetch):
    with pytest.raises(Unfetched, match="the server can't be reached"):
        fetch(Source("http://127.0.0.1:9/f.jpg"))


def test_a_packed_answer_is_refused_since_its_bytes_are_not_the_files(fetch, archive):
    archive.misbehave("f.jpg", lambda handler, body: handler.send(200, body, **{"Content-Encoding": "gzip"}))
    assert fetch().num_tries == 2


def test_a_file_that_is_too_large_is_refused_by_what_is_announced_and_by_what_comes(fetch, archive, tmp_path):
    with pytest.raises(Unfetched, match=r"more than the 1.0 kB that are allowed"):
        fetch(max_bytes=1000)

    def unannounced(handler, body):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(body * 10)
        handler.close_connection = True

    archive.misbehave("f.jpg", unannounced)
    with pytest.raises(Unfetched, match="it has more than the"):
        fetch(max_bytes=len(BODY))
    assert not (tmp_path / "parts/f").exists()


def test_an_expired_address_is_renewed(fetch, archive, source):
    expired = Source(f"{archive.root}/storage/ISIC_0000001.jpg?signature=0")
    assert fetch(expired, renew=lambda: source).num_tries == 2
    with pytest.raises(Unfetched, match="the server says 403"):
        fetch(expired, renew=lambda: expired)


def test_what_cannot_be_the_file_takes_nothing_from_a_part_of_it(fetch, archive, tmp_path):
    archive.misbehave("f.jpg", cut(100), instead(b"<html>log in to the wireless network"))
    assert fetch().num_tries == 3
    assert ranges(archive) == ["", "bytes=100-", "bytes=100-"]


def test_a_large_file_of_another_size_is_not_fetched(fetch, archive, source):
    archive.files["/f.jpg"] = bytes(10**7 + 1)
    with pytest.raises(Unfetched, match="10,000,001 bytes are announced instead of"):
        fetch(max_tries=1, max_bytes=1e9)


def test_what_has_vanished_is_not_asked_for_again(fetch, archive):
    def gone():
        raise Vanished("the archive has no such image any more")

    with pytest.raises(Unfetched, match="no such image any more") as caught:
        fetch(Source(f"{archive.root}/storage/nothing"), renew=gone)
    assert caught.value.num_tries == 1 == len(archive.requests)
    with pytest.raises(Unfetched, match="the server says 404"):
        fetch(Source(f"{archive.root}/nothing"))
    assert len(archive.requests) == 2


def test_a_full_disk_ends_it_and_keeps_what_came(fetch, monkeypatch, archive, tmp_path):
    archive.misbehave("f.jpg", cut(100))
    number = iter(range(10))
    real = transfer.start_of

    def full(response, asked):
        if next(number):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(response, asked)

    monkeypatch.setattr(transfer, "start_of", full)
    with pytest.raises(OSError, match="No space left"):
        fetch()
    assert (tmp_path / "parts/f").read_bytes() == BODY[:100]


def test_room_is_looked_for_once_the_size_is_known(fetch, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(OSError, match=r"f needs [\d.]+ kB, .* has 10 B"):
        fetch()


def test_a_run_that_is_stopped_ends_amidst_a_file(fetch, archive):
    archive.misbehave("f.jpg", dripping(0.01))
    pace = Pace(10_000)
    threading.Timer(0.2, pace.stop).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        fetch(pace=pace)
    assert time.monotonic() - began < 2


def test_nothing_but_the_part_and_its_mark_is_left(fetch, tmp_path):
    fetch()
    transfer.take(tmp_path / "parts/f", tmp_path / "images/f.jpg")
    left = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert left == [Path("images/f.jpg")]
