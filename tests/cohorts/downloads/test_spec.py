"""The block `download` of a cohort's YAML."""

import pytest
from pydantic import ValidationError

from slimp_pipeline.cohorts.downloads.spec import ArchiveQuery, DownloadSpec, ExpectedFile, ReleaseFile


@pytest.mark.parametrize(
    "doi",
    ["10.34970/587329", "https://doi.org/10.34970/587329", "doi: 10.34970/587329", "http://dx.doi.org/10.34970/587329"],
)
def test_a_doi_is_understood_however_it_is_written(doi):
    assert ArchiveQuery(doi=doi).doi == "10.34970/587329"


@pytest.mark.parametrize("doi", ["587329", "hiba", "10.34970", ""])
def test_what_is_no_doi_is_refused(doi):
    with pytest.raises(ValidationError, match=r"is no DOI: write 10.34970/587329"):
        ArchiveQuery(doi=doi)


@pytest.mark.parametrize("to", ["../x", "/etc/x", "a/../../x", "C:/x", "a\\b"])
def test_a_file_goes_nowhere_but_below_the_cohorts_folder(to):
    with pytest.raises(ValidationError, match="must be a path below the cohort's folder"):
        ReleaseFile(url="https://a.example/x.csv", to=to)
    with pytest.raises(ValidationError, match="must be a path below"):
        ExpectedFile(file=to)


@pytest.mark.parametrize("url", ["ftp://a.example/x", "file:///etc/passwd", "a.example/x", "https://a.example"])
def test_a_file_is_got_over_http_alone(url):
    with pytest.raises(ValidationError, match="is no address"):
        ReleaseFile(url=url, to="x")


@pytest.mark.parametrize("checksum", ["abc", "sha256:abc", "md5:" + "0" * 64, "sha256:" + "A" * 64])
def test_a_checksum_names_its_kind(checksum):
    with pytest.raises(ValidationError, match="is no checksum"):
        ReleaseFile(url="https://a.example/x", to="x", checksum=checksum)


def test_a_block_that_says_nothing_or_something_unknown_is_refused():
    with pytest.raises(ValidationError, match="`download` needs `archive`, `files` or `steps`"):
        DownloadSpec()
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        DownloadSpec(steps=["ask"], kaggle="x")


def test_only_what_nothing_is_fetched_for_is_got_by_hand():
    assert DownloadSpec(steps=["ask for it"]).is_by_hand
    assert not DownloadSpec(steps=["or ask"], archive=ArchiveQuery()).is_by_hand
