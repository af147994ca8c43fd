"""A download from end to end, without the command line."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from archive_server import instead, picture, status
from slimp_pipeline.cohorts.downloads.landing import land_cohort
from slimp_pipeline.cohorts.downloads.ledger import COLUMNS
from slimp_pipeline.cohorts.downloads.run import fetch_cohort

HIBA = {"archive": {"doi": "10.34970/587329"}}


@pytest.fixture
def get(settings, tmp_path):
    """Fetch and land a cohort; returns the ledger and the summary."""

    def run(of, **changes):
        chosen = settings(**changes)
        ledger = fetch_cohort(of, tmp_path, chosen)
        return ledger, land_cohort(of, tmp_path, chosen, ledger)

    return run


def names(folder) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_collection_lies_in_its_folder_with_its_metadata_licences_and_ledger(get, spec, archive, tmp_path):
    ledger, summary = get(spec())
    folder = tmp_path / "x"
    assert names(folder) == {
        "images", "licences", "metadata.csv", "ATTRIBUTION.txt", "download.json", "ledger.jsonl", "ledger.parquet",
    }  # fmt: skip
    assert len(names(folder / "images")) == len(pd.read_csv(folder / "metadata.csv")) == 10
    assert (folder / "licences/CC-BY.txt").read_text() == "Name us."
    assert "5  CC-BY  Clinic of the Loopback" in (folder / "ATTRIBUTION.txt").read_text()
    assert list(ledger.columns) == COLUMNS
    assert (summary["num_images"], summary["num_images_asked_for"]) == (10, 10)
    assert summary["num_bytes"] == sum(map(len, archive.images.values()))
    assert json.loads((folder / "download.json").read_text()) == summary
    assert names(tmp_path) == {"x", ".x.lock", ".x.lock.holder"}


def test_a_cohort_is_got_by_its_doi_and_the_settings_may_ask_for_something_else(get, spec, archive, tmp_path):
    archive.dois = {251: "10.34970/587329"}
    assert get(spec(**HIBA))[1]["num_images"] == 10
    other = spec(**HIBA).model_copy(update={"folder": "y"})
    assert get(other, search="sex:male")[1]["num_images"] == 5


def test_without_anything_to_ask_for_the_archive_is_not_asked(get, spec, archive):
    with pytest.raises(ValueError, match=r"which images of the ISIC Archive\? Name collections .*ISIC_images.zip"):
        get(spec(archive={}))
    with pytest.raises(ValueError, match=r"download.doi: 'hiba' is no DOI"):
        get(spec(archive={}), doi="hiba")
    with pytest.raises(ValueError, match="cohort x isn't got from the ISIC Archive"):
        get(spec(steps=["ask"]), search="sex:male")
    assert not archive.requests


def test_a_missing_image_keeps_the_rest_from_its_place_until_it_is_got(get, spec, archive, tmp_path):
    archive.misbehave("storage/ISIC_0000003", status(500), status(500), status(500))
    with pytest.raises(ValueError) as caught:
        get(spec())
    words = str(caught.value)
    assert "cohort x isn't whole: 1 of 10 things that were asked for are missing or differ" in words
    assert "1 x the server says 500 Internal Server Error (ISIC_0000003)" in words
    assert "Run again" in words
    assert "download.max_missing_share=0.1" in words
    assert not (tmp_path / "x").exists()
    archive.requests.clear()
    assert get(spec())[1]["num_images"] == 10
    assert archive.asked_for("/storage/") == 1


def test_a_missing_image_is_left_out_where_that_is_allowed(get, spec, archive, tmp_path):
    archive.misbehave("storage/ISIC_0000003", instead(b"<html>"), always=True)
    with pytest.raises(ValueError, match="isn't whole"):
        get(spec(), max_missing_share=0.09)
    ledger, summary = get(spec(), max_missing_share=0.1)
    assert (summary["num_images"], summary["num_images_asked_for"]) == (9, 10)
    assert ledger.set_index("image_id").loc["ISIC_0000003", "outcome"] == "failed"
    assert "ISIC_0000003.jpg" not in names(tmp_path / "x/images")


def test_a_licence_whose_text_the_archive_lacks_ends_nothing(get, spec, archive, tmp_path, caplog):
    archive.licences.clear()
    archive.listed["ISIC_0000001"] = {"copyright_license": None, "attribution": None}
    get(spec())
    assert "no text of the licence 'CC-BY'" in caplog.text
    assert "1  (none stated)  (none stated)" in (tmp_path / "x/ATTRIBUTION.txt").read_text()


def test_what_is_in_place_is_looked_at_and_not_fetched_again(get, spec, archive, tmp_path):
    first, _ = get(spec())
    archive.requests.clear()
    again, summary = get(spec())
    assert not archive.requests
    assert summary["num_images"] == 10
    pd.testing.assert_frame_equal(first, again, check_dtype=False)


def test_what_is_gone_from_its_place_is_told_with_the_way_to_get_it(get, spec, archive, tmp_path):
    get(spec())
    (tmp_path / "x/images/ISIC_0000001.jpg").unlink()
    (tmp_path / "x/images/ISIC_0000002.jpg").write_bytes(b"cut")
    with pytest.raises(ValueError, match="it is gone since") as caught:
        get(spec())
    assert "it has 3 bytes now" in str(caught.value)
    assert f"mv {tmp_path}/x {tmp_path}/.x.download, then run again" in str(caught.value)
    (tmp_path / "x").rename(tmp_path / ".x.download")
    archive.requests.clear()
    assert get(spec())[1]["num_images"] == 10
    assert archive.asked_for("/storage/") == 2


def test_another_request_neither_adds_to_a_folder_nor_replaces_it(get, spec, archive, tmp_path):
    get(spec(), max_images=4)
    with pytest.raises(
        FileExistsError,
        match=r"holds another download \(collections 251, archive .*, the first 4 images\), not .*Move it away",
    ):
        get(spec())
    archive.add_images([50], collection=7)
    with pytest.raises(FileExistsError, match="holds another download"):
        get(spec(), collections="7")
    assert len(names(tmp_path / "x/images")) == 4


def test_a_first_try_on_few_images_is_gone_on_with(get, spec, archive, tmp_path):
    archive.misbehave("storage/ISIC_0000003", status(500), status(500), status(500))
    with pytest.raises(ValueError):
        get(spec(), max_images=4)
    archive.requests.clear()
    assert get(spec())[1]["num_images"] == 10
    assert archive.asked_for("/storage/") == 7


def test_a_folder_of_ones_own_is_left_alone(get, spec, archive, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/mine.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="nothing in it was touched"):
        get(spec())
    assert not archive.requests


@pytest.fixture
def release(archive, make_zip):
    pictures = {f"ISIC_{number}.jpg": picture(number) for number in (1, 2)}
    archive.files = {"/r/metadata.csv": b"isic_id\nISIC_1\nISIC_2\n", "/r/images.zip": make_zip(pictures)}
    return [
        {"url": f"{archive.root}/r/metadata.csv", "to": "metadata.csv"},
        {"url": f"{archive.root}/r/images.zip", "to": "images", "unpack": True},
    ]


def test_a_release_is_got_unpacked_and_counted(get, spec, release, tmp_path):
    expected = {"num_images": 2, "files": [{"file": "metadata.csv", "rows": 2}]}
    ledger, summary = get(spec(files=release, expected=expected))
    assert names(tmp_path / "x") == {
        "images", "metadata.csv", "ATTRIBUTION.txt", "download.json", "ledger.jsonl", "ledger.parquet",
    }  # fmt: skip
    assert ledger["kind"].tolist() == ["file", "file", "unpacked", "expected", "expected"]
    assert summary["licences"] == [{"licence": "CC BY 4.0", "attribution": "https://doi.org/10.1234/x", "number": 2}]


def test_a_release_that_holds_less_than_it_should_is_told_with_the_way_by_hand(get, spec, release, tmp_path):
    with pytest.raises(ValueError) as caught:
        get(
            spec(files=release, steps=["open the page", "take the files"], expected={"num_images": 3}),
            max_missing_share=1,
        )
    assert "1 x 2 images, a whole copy has 3 (images)" in str(caught.value)
    assert "Or a person gets it" in str(caught.value)
    assert "  2. take the files" in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_what_a_person_has_to_get_is_told_step_by_step_and_then_looked_at(get, spec, archive, tmp_path):
    expected = {"num_images": 2, "files": [{"file": "metadata.csv", "rows": 2}]}
    by_hand = spec(steps=["log in at https://a.example", "unpack it"], expected=expected)
    with pytest.raises(FileNotFoundError) as caught:
        get(by_hand)
    assert str(caught.value).splitlines() == [
        f"The X cohort needs a person to get it (https://doi.org/10.1234/x; licence: CC BY 4.0). Into {tmp_path}/x:",
        "  1. log in at https://a.example",
        "  2. unpack it",
        "Then run this again: it looks whether all is there (--params=cohort=x)",
    ]
    (tmp_path / "x/images").mkdir(parents=True)
    (tmp_path / "x/metadata.csv").write_text("isic_id\nISIC_1\nISIC_2\n")
    (tmp_path / "x/images/ISIC_1.jpg").write_bytes(picture(1))
    with pytest.raises(ValueError, match=r"1 x 1 images, a whole copy has 2 \(images\)"):
        get(by_hand)
    (tmp_path / "x/images/ISIC_2.jpg").write_bytes(picture(2))
    ledger, _ = get(by_hand)
    assert ledger["outcome"].tolist() == ["got", "got"]
    assert names(tmp_path / "x") == {"images", "metadata.csv"}  # nothing of ours is put there


def test_what_a_person_put_there_though_it_could_be_downloaded_is_looked_at_alone(
    get, spec, release, archive, tmp_path
):
    one = spec(files=release, expected={"num_images": 2})
    (tmp_path / "x/images").mkdir(parents=True)
    (tmp_path / "x/images/ISIC_1.jpg").write_bytes(picture(1))
    with pytest.raises(ValueError, match=f"none is touched. To download them: move {tmp_path}/x away"):
        get(one)
    (tmp_path / "x/images/ISIC_2.jpg").write_bytes(picture(2))
    ledger, _ = get(one)
    assert ledger[["name", "outcome"]].to_numpy().tolist() == [["images", "got"]]
    assert names(tmp_path / "x") == {"images"}
    assert not archive.requests


def test_a_folder_that_is_a_link_to_another_disk_is_filled_there(get, spec, archive, tmp_path):
    (tmp_path / "large_disk/x").mkdir(parents=True)
    (tmp_path / "x").symlink_to(tmp_path / "large_disk/x")
    get(spec())
    assert (tmp_path / "x").is_symlink()
    assert len(names(tmp_path / "large_disk/x/images")) == 10


def test_where_isic_cli_is_not_installed_it_is_said_how_to_install_it():
    code = """
import sys
sys.modules["isic_cli"] = None
from slimp_pipeline.cohorts.downloads import run
from slimp_pipeline.cohorts.downloads.spec import ArchiveQuery
try:
    run._from_archive(ArchiveQuery(search="sex:male"), None, None, None, None)
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "asked by the Python package isic-cli (isic_cli" in done.stdout
    assert "pip install 'slimp-pipeline[download]'" in done.stdout


def test_a_cohort_that_cannot_be_downloaded_says_why(get, spec):
    fabricated = spec().model_copy(update={"fabricated": True})
    with pytest.raises(ValueError, match="cohort x is fabricated, by `kedro run --pipeline=fabricate`"):
        get(fabricated)
    with pytest.raises(ValueError, match=r"has no `download`.* described at https://doi.org/10.1234/x"):
        get(spec().model_copy(update={"download": None}))
