"""Room on the disk."""

import pytest

from slimp_pipeline.cohorts.downloads.space import in_words, require_space


@pytest.fixture
def with_free(monkeypatch):
    return lambda free: monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free}))


def test_too_little_room_is_told_with_figures(with_free, tmp_path):
    with_free(4_000_000_000)
    with pytest.raises(
        OSError, match=r"the images needs 3.0 GB, and 2.0 GB have to stay free .* has 4.0 GB. Make room"
    ):
        require_space(tmp_path / "not/there/yet", 3_000_000_000, "the images", spare_gb=2)


def test_just_enough_room_is_enough(with_free, tmp_path):
    with_free(5_000_000_000)
    require_space(tmp_path, 3_000_000_000, "the images", spare_gb=2)
    with pytest.raises(OSError):
        require_space(tmp_path, 3_000_000_001, "the images", spare_gb=2)


@pytest.mark.parametrize(
    ("num_bytes", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (2_640_000, "2.6 MB"),
        (24_707_698_022, "24.7 GB"),
        (3e12, "3.0 TB"),
    ],
)
def test_bytes_are_told_as_people_read_them(num_bytes, words):
    assert in_words(num_bytes) == words
