"""`kedro run --pipeline=download` through the command line, from an ISIC Archive on loopback; then ingest."""

import hashlib
import io
import json
import os
import signal
import time
import zipfile

import pandas as pd
import pytest

from archive_server import late, picture, status

INGEST = ("run", "--pipeline=ingest", "--namespaces=target", "--params=target_cohort=isic_archive")


@pytest.fixture
def download(archive, tmp_path):
    """The command that downloads collection 251, with further settings."""

    def command(*settings: str, cohort: str = "isic_archive") -> list[str]:
        asked = ["download.collections=251"] if cohort == "isic_archive" else []
        quick = ["download.max_wait_s=0.02", "download.max_tries=3", "download.requests_per_second=1000"]
        given = [f"cohort={cohort}", f"download.archive={archive.address}", *asked, *quick, *settings]
        return ["run", "--env=test", "--pipeline=download", f"--params={','.join(given)}"]

    return command


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


def test_a_collection_is_downloaded_and_then_ingested(fresh, download, archive, raw):
    archive.misbehave("storage/ISIC_0000002", status(429, Retry_After="0"), status(500))
    done = fresh.call(*download(), SLIMP_RAW=str(raw))
    assert done.returncode == 0, done.stderr
    assert f"isic_archive: 10 of 10 images, 10.2 kB in {raw}/isic_archive" in done.stdout
    assert "kedro run --pipeline=ingest --namespaces=target --params=target_cohort=isic_archive" in done.stdout
    ledger = pd.read_csv(fresh.latest("01_raw/listings/isic_archive/download_ledger.csv"))
    assert ledger["outcome"].tolist() == ["got"] * 10
    assert ledger.set_index("image_id").loc["ISIC_0000002", "num_tries"] == 3
    summary = json.loads(fresh.latest("01_raw/listings/isic_archive/download_summary.json").read_text())
    assert (summary["num_images"], summary["request"]["collections"]) == (10, [251])
    done = fresh.call(*INGEST, SLIMP_RAW=str(raw))
    assert done.returncode == 0, done.stderr
    assert "isic_archive: 10 rows, 10 with an image" in done.stdout
    lesions = pd.read_parquet(fresh.latest("03_primary/isic_archive/lesions.parquet"))
    assert lesions["store_index"].notna().all()
    assert lesions.set_index("image_id").loc["ISIC_0000003", "malignant"]


MINE = """
mine:
  name: mine
  title: A release like HAM10000
  licence: CC BY 4.0
  source: https://doi.org/10.1234/mine
  folder: mine
  tables: [{file: table.csv}]
  images: {sources: [images]}
  image_id: image_id
  label: {column: dx, malignant: [mel]}
  fields: {age_years: {kind: numeric, level: patient, column: age}}
  download:
    files:
      - {url: "%(root)s/r/table.csv", to: table.csv, checksum: "sha256:%(sha256)s"}
      - {url: "%(root)s/r/part_1.zip", to: images, unpack: true}
    expected: {num_images: 2, files: [{file: table.csv, rows: 2}]}
"""


def test_a_published_release_is_downloaded_and_then_ingested(fresh, download, archive, raw):
    table, packed = b"image_id,dx,age\nA_1,mel,50\nA_2,nv,30\n", io.BytesIO()
    with zipfile.ZipFile(packed, "w") as pictures:
        for number in (1, 2):
            pictures.writestr(f"part_1/A_{number}.jpg", picture(number))
    archive.files = {"/r/table.csv": table, "/r/part_1.zip": packed.getvalue()}
    text = MINE % {"root": archive.root, "sha256": hashlib.sha256(table).hexdigest()}
    (fresh.folder / "conf/base/parameters/cohorts/mine.yml").write_text(text)
    done = fresh.call(*download(cohort="mine"), SLIMP_RAW=str(raw))
    assert done.returncode == 0, done.stderr
    ledger = pd.read_csv(fresh.latest("01_raw/listings/mine/download_ledger.csv"))
    assert ledger["kind"].tolist() == ["file", "file", "unpacked", "expected", "expected"]
    assert ledger["outcome"].eq("got").all()
    done = fresh.call(*INGEST[:-1], "--params=target_cohort=mine", SLIMP_RAW=str(raw))
    assert done.returncode == 0, done.stderr
    assert "mine: 2 rows, 2 with an image" in done.stdout


def test_a_missing_image_is_an_error_and_the_ledger_is_kept(fresh, download, archive, raw):
    archive.misbehave("storage/ISIC_0000003", status(404), always=True)
    done = fresh.call(*download(), SLIMP_RAW=str(raw))
    assert done.returncode == 1
    assert "error: cohort isic_archive isn't whole: 1 of 10 things" in done.stderr
    assert "1 x the server says 404 Not Found (ISIC_0000003)" in done.stderr
    assert "Traceback" not in done.stderr
    ledger = pd.read_csv(fresh.latest("01_raw/listings/isic_archive/download_ledger.csv"), keep_default_na=False)
    assert ledger.set_index("image_id").loc["ISIC_0000003", ["outcome", "num_tries"]].tolist() == ["failed", 3]
    assert not (raw / "isic_archive").exists()
    done = fresh.call(*download("download.max_missing_share=0.1"), SLIMP_RAW=str(raw))
    assert done.returncode == 0, done.stderr
    assert "9 of 10 images" in done.stdout


def images_got(raw) -> int:
    ledger = raw / ".isic_archive.download/ledger.jsonl"
    return ledger.read_text().count('"got"') if ledger.exists() else 0


def ended_early(project, command, raw, number: int) -> str:
    """Start a command, end it by a signal once it has got five images more, and return what it wrote of that."""
    before = images_got(raw)
    started = project.start(*command, SLIMP_RAW=str(raw))
    deadline = time.monotonic() + 60
    while images_got(raw) < before + 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(started.pid, number)
    _, errors = started.end(30)
    assert started.poll() == (-number if number == signal.SIGKILL else 128 + number)
    return errors


def test_a_run_that_is_stopped_or_killed_is_gone_on_with(fresh, download, archive, raw):
    archive.add_images(range(11, 61))
    archive.misbehave("/storage/", late(0.1), always=True)
    slowly = download("download.num_connections=2")
    assert "stopped: the same command goes on" in ended_early(fresh, slowly, raw, signal.SIGTERM)
    ended_early(fresh, slowly, raw, signal.SIGKILL)
    got = images_got(raw)
    assert 10 <= got < 60
    assert not (raw / "isic_archive").exists()
    archive._faults.clear()
    archive.requests.clear()
    done = fresh.call(*download(), SLIMP_RAW=str(raw))
    assert done.returncode == 0, done.stderr
    assert archive.asked_for("/storage/") <= 60 - got
    there = {file.stem: file.read_bytes() for file in (raw / "isic_archive/images").iterdir()}
    assert there == archive.images


def test_a_disk_without_room_is_refused_with_figures_before_an_image_is_asked_for(fresh, download, archive, raw):
    done = fresh.call(*download("download.spare_disk_gb=100000000"), SLIMP_RAW=str(raw))
    assert done.returncode == 1
    assert "what is left, 10 images, needs 10.2 kB, and 100000.0 TB have to stay free" in done.stderr
    assert archive.asked_for("/storage/") == 0


def test_what_a_person_has_to_get_is_told_step_by_step(fresh, download, raw):
    done = fresh.call(*download(cohort="slice3d"), SLIMP_RAW=str(raw))
    assert done.returncode == 1
    assert "1. log in at https://www.kaggle.com and accept the rules" in done.stderr
    assert f"Into {raw}/slice3d:" in done.stderr
