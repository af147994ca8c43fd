"""Every file in the sources of a cohort's images is an image, or listed with the reason why it isn't."""

import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimp_pipeline.cohorts.files.image_files import FoundFile, find_image_files
from slimp_pipeline.cohorts.spec import PICTURE_SUFFIXES, ImagesSpec


def put(folder: Path, *names: str, content: bytes = b"x") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def find(folder: Path, **images: object) -> tuple[list[str], dict[str, str]]:
    """Ids of the images; and what isn't used: path below the folder -> kind of reason."""
    found = find_image_files(ImagesSpec.model_validate({"sources": ["photos"]} | images), folder)
    unused = {os.path.relpath(file.path, folder): file.unused for file in found if file.unused}
    return sorted(file.image_id for file in found if not file.unused), unused


def test_every_raster_format_is_taken_by_default(tmp_path: Path) -> None:
    put(tmp_path, *(f"photos/a{n}{suffix}" for n, suffix in enumerate((*PICTURE_SUFFIXES, ".JPG", ".Tif"))))
    ids, unused = find(tmp_path)
    assert len(ids) == len(PICTURE_SUFFIXES) + 2 and not unused


@pytest.mark.parametrize("suffixes", [["jpg"], [".jpg"], [".JPG"], "jpg"])
def test_a_suffix_is_read_with_and_without_its_dot(tmp_path: Path, suffixes: object) -> None:
    put(tmp_path, "photos/a.jpg", "photos/b.JPG", "photos/c.tif")
    assert find(tmp_path, suffixes=suffixes) == (["a", "b"], {"photos/c.tif": "suffix"})


def test_what_is_no_image_is_listed_with_its_reason(tmp_path: Path) -> None:
    put(tmp_path, "photos/a.jpg", "photos/notes.txt", "photos/.DS_Store", "photos/.thumbs/a.jpg", "photos/sub/b.jpg")
    put(tmp_path, "photos/a_mask.jpg")
    (tmp_path / "photos/self.jpg").symlink_to(tmp_path / "photos/self.jpg")
    (tmp_path / "photos/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "photos/pipe.jpg")
    ids, unused = find(tmp_path, pattern=r"[^_]+$")
    assert ids == ["a", "b"]
    assert unused == {
        "photos/notes.txt": "suffix", "photos/.DS_Store": "hidden", "photos/.thumbs": "hidden",
        "photos/a_mask.jpg": "pattern", "photos/gone.jpg": "link", "photos/self.jpg": "link",
        "photos/pipe.jpg": "special",
    }  # fmt: skip


def test_linked_folders_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path, "photos/a.jpg", "elsewhere/b.jpg", "elsewhere/deeper/c.jpg")
    (tmp_path / "photos/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/again").symlink_to(tmp_path / "elsewhere/deeper")
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "photos")
    ids, unused = find(tmp_path)
    assert ids == ["a", "b", "c"]
    assert unused == {"photos/linked/loop": "same_folder"}
    assert find(tmp_path, sources=["photos", "elsewhere"])[0] == ["a", "b", "c"]


def test_a_folder_that_may_not_be_read_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "photos/a.jpg", "photos/locked/b.jpg")
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if folder.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find(tmp_path) == (["a"], {"photos/locked": "unreadable"})


def test_a_name_that_is_no_utf_8_is_listed(tmp_path: Path) -> None:
    put(tmp_path, "photos/a.jpg")
    try:
        for name in (b"l\xe4sion.jpg", b"._l\xe4sion.jpg"):
            (tmp_path / "photos" / os.fsdecode(name)).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    found = find_image_files(ImagesSpec(sources=["photos"]), tmp_path)
    unused = [(file.unused, file.path.endswith("l\\xe4sion.jpg")) for file in found if file.unused]
    assert unused == [("hidden", True), ("name", True)]
    pd.DataFrame(found).to_parquet(tmp_path / "listing.parquet")


@pytest.mark.parametrize(
    ("names", "sources", "ids", "unused"),
    [
        (["one/a.jpg", "two/b.jpg"], ["one", "two"], ["a"], {"two/b.jpg": "other_source"}),
        (["one/a.txt", "two/b.jpg"], ["one", "two"], ["b"], {"one/a.txt": "suffix"}),
        (["two/b.jpg"], ["one", "two"], ["b"], {}),
        (["one/a.jpg", "b.jpg"], ["one", "."], ["a"], {"b.jpg": "other_source"}),
        (["one/a.jpg", "one/in/b.jpg"], ["one/in", "one"], ["b"], {"one/a.jpg": "other_source"}),
    ],
)
def test_the_first_source_that_holds_images_is_read_and_the_others_are_listed(
    tmp_path: Path, names: list[str], sources: list[str], ids: list[str], unused: dict[str, str]
) -> None:
    (tmp_path / "one").mkdir()
    assert find(put(tmp_path, *names), sources=sources) == (ids, unused)


def test_all_sources_are_read_where_that_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path, "one/a.jpg", "two/b.jpg", "one/in/c.jpg")
    assert find(tmp_path, sources=["one", "two", "one/in"], all_sources=True) == (["a", "b", "c"], {})


NAMES = st.sampled_from(
    ["a.jpg", "b.JPG", "c.txt", ".hidden", "d", "e.png", "sub/a.jpg", "sub/deep/f.tif", "two/g.jpg"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(NAMES), first=st.sampled_from(["photos", "photos/sub", "photos/two"]), both=st.booleans())
def test_no_file_is_unaccounted_for(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], first: str, both: bool
) -> None:
    folder = tmp_path_factory.mktemp("cohort")
    put(folder, *(f"photos/{name}" for name in names))
    images = ImagesSpec(sources=[first, "photos"], all_sources=both)
    listed = [os.path.relpath(file.path, folder) for file in find_image_files(images, folder)]
    assert sorted(listed) == sorted(f"photos/{name}" for name in names)


def test_the_listing_has_the_columns_that_packing_reads() -> None:
    assert FoundFile._fields[:5] == ("image_id", "path", "key", "size_bytes", "mtime_ns")


def test_a_source_in_another_unicode_form_is_found(tmp_path: Path) -> None:
    put(tmp_path, "Fotos_a\u0308/a.jpg")
    assert find(tmp_path, sources=["Fotos_\u00e4"])[0] == ["a"]


@pytest.mark.parametrize("name", ["photos.zip", "lesions.csv"])
def test_a_source_that_is_no_folder_and_no_hdf5_file_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    with pytest.raises(ValueError, match="neither a folder nor an HDF5 file"):
        find(tmp_path, sources=[name])
