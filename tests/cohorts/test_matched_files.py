"""Rows and files brought together: each file is a row's image, or listed with the reason why not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from slimp_pipeline.cohorts.files.raw_files import find_raw_files, table_paths
from slimp_pipeline.cohorts.matched_files import MatchedFiles, match_files
from slimp_pipeline.cohorts.rows.reader import Reading, read_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.images.packing import pack
from slimp_pipeline.parameters import IngestParams
from slimp_pipeline.tables.lesions import Ingested, link_images
from slimp_pipeline.tables.manifest import in_words

HEADER = "image,lesion,patient,age,sex,itches,bleeds,dx\n"


def row(image_id: str, dx: str = "nv", age: str = "50") -> str:
    return f"{image_id},l-{image_id},p-{image_id},{age},female,True,False,{dx}\n"


def picture(path: Path, shade: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 12, 3), shade, np.uint8)).save(path)


@pytest.fixture
def ingest(tmp_path: Path, make_spec: Callable[..., CohortSpec]) -> Callable[..., tuple[MatchedFiles, Ingested]]:
    """Ingest a cohort from the text of its table and the files that a function puts into its folder."""

    def run(rows: str, files: dict[str, int | bytes], **changes: Any) -> tuple[MatchedFiles, Ingested]:
        folder = tmp_path / "small"
        folder.mkdir(exist_ok=True)
        (folder / "table.csv").write_text(HEADER + rows, encoding="utf-8")
        for name, content in files.items():
            if isinstance(content, bytes):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            else:
                picture(folder / name, content)
        spec = make_spec(**{"images": {"sources": ["photos"]}} | changes)
        return ingest_folder(spec, tmp_path)

    return run


def ingest_folder(spec: CohortSpec, root: Path) -> tuple[MatchedFiles, Ingested]:
    raw = find_raw_files(spec, root, root)
    reading: Reading = read_rows(spec, table_paths(raw))
    matched = match_files(spec, reading, raw)
    packed = [entry for batch in pack(matched.images, IngestParams(num_processes=1)) for entry in batch.to_pylist()]
    stored = pd.DataFrame(packed, columns=["image_id", "sha256", "refused"]).astype("str")
    ingested = link_images(spec, reading, matched, stored, 1.0)
    assert ingested.manifest["num_files"] == (raw["role"] != "table").sum()  # found = used + listed
    assert ingested.manifest["num_rows"] == len(ingested.lesions) + ingested.manifest["num_rows_quarantined"]
    assert ingested.diagnoses[["rows", "with_image", "without_image"]].sum().tolist() == [
        len(ingested.lesions), ingested.manifest["num_rows_with_image"], ingested.manifest["num_rows_without_image"],
    ]  # fmt: skip
    return matched, ingested


def kinds(ingested: Ingested) -> dict[str, str]:
    return {Path(path).name: kind for path, kind in ingested.unused_files[["path", "unused"]].to_numpy()}


def test_what_becomes_of_every_file_is_said(ingest) -> None:
    files = {
        "photos/good.png": 1, "photos/nobody.png": 2, "photos/broken_row.png": 3, "photos/damaged.png": b"no picture",
        "photos/notes.txt": b"", "photos/twice.png": 4, "photos/sub/twice.png": 5,
        "photos/copied.png": 6, "photos/sub/copied.png": 6,
    }  # fmt: skip
    rows = "".join(row(name) for name in ("good", "damaged", "twice", "copied", "no_photo")) + row(
        "broken_row", age="x"
    )
    _, ingested = ingest(rows, files)
    assert kinds(ingested) == {
        "nobody.png": "no_row", "broken_row.png": "row_set_aside", "damaged.png": "refused", "notes.txt": "suffix",
        "twice.png": "conflict", "copied.png": "copy",
    }  # fmt: skip
    assert ingested.lesions["image_id"].tolist() == ["good", "copied", "no_photo"]
    reasons = ingested.quarantine.set_index("image_id")["reason"]
    assert reasons["broken_row"] == "not a number"
    assert reasons["twice"] == "several files, which differ, have its image id"
    unused = ingested.unused_files
    listed = unused.loc[unused["image_id"].eq("twice"), "path"].str.partition("photos/")[2]
    assert sorted(listed) == ["sub/twice.png", "twice.png"]
    assert reasons["damaged"].startswith("not a")
    text = in_words(ingested.manifest, ingested.diagnoses, ingested.unused_files)
    assert "9 files, 2 used; listed in unused_files.csv:" in text
    assert "2 x several files, which differ, have its image id" in text and "1 x no row has its image id" in text
    assert "photos/" not in text
    assert text.splitlines()[-1].split() == ["nevus", "3", "benign", "2", "1"]


def test_ids_that_differ_from_file_names_are_matched_and_said(ingest) -> None:
    _, ingested = ingest(row("IMG_1.jpg") + row("two"), {"photos/img_001.png": 1, "photos/two.png": 2})
    assert ingested.lesions["store_index"].notna().all() and ingested.unused_files.empty
    assert [note for note in ingested.manifest["notes"] if "'AAA_0.aaa'" in note and "'aaa_000'" in note]


def test_a_picture_of_another_folder_than_its_row_names_is_not_taken(ingest) -> None:
    files = {"photos/2023/a.png": 1, "photos/2024/b.png": 2, "photos/2023/c.png": 3}
    rows = "".join(row(f"{name}.png").replace(name, f"2023/{name}", 1) for name in "abc")
    _, ingested = ingest(rows, files, image_id_is_path=True, lesion_id=[])
    assert ingested.lesions["store_index"].notna().tolist() == [True, False, True]
    assert kinds(ingested) == {"b.png": "other_folder"}


def test_where_some_file_lies_as_its_row_says_no_other_is_taken_from_elsewhere(ingest) -> None:
    files = {"photos/siteA/a.png": 1, "photos/siteC/b.png": 2}
    _, ingested = ingest(
        row("siteA/a.png") + row("siteB/b.png"), files, image_id_is_path=True, lesion_id=[], patient_id=[]
    )
    assert ingested.lesions["store_index"].notna().tolist() == [True, False]
    assert kinds(ingested) == {"b.png": "other_folder"}


def test_folders_that_are_not_there_are_said(ingest) -> None:
    files = {"photos/a.png": 1, "photos/b.png": 2}
    _, ingested = ingest(
        row("siteA/a.png") + row("siteB/b.png"), files, image_id_is_path=True, lesion_id=[], patient_id=[]
    )
    assert ingested.lesions["store_index"].notna().all()
    (note,) = [note for note in ingested.manifest["notes"] if "folder" in note]
    assert note == "2 rows name a folder that isn't there: the names of files alone count"


def test_folders_of_another_machine_are_no_obstacle(ingest) -> None:
    rows = "".join(row(f"{name}.png").replace(name, f"C:\\\\scans\\\\{name}", 1) for name in "ab")
    _, ingested = ingest(rows, {"photos/a.png": 1, "photos/b.png": 2}, image_id_is_path=True, lesion_id=[])
    assert ingested.lesions["image_id"].tolist() == ["a", "b"] and ingested.lesions["store_index"].notna().all()


def test_every_source_is_there_where_all_are_asked_for(ingest) -> None:
    changes = {"partial": False, "label": None, "fields": {}, "leaks": {}}
    with pytest.raises(FileNotFoundError, match=r"the image source phots isn't in .* all_sources asks for every one"):
        ingest(row("a"), {"photos/a.png": 1}, images={"sources": ["photos", "phots"], "all_sources": True}, **changes)


def test_images_without_any_row_are_refused_with_an_example_of_both(ingest) -> None:
    with pytest.raises(ValueError, match=r"2 images are there, but none bears .* 'a', the first file's 'x'"):
        ingest(row("a") + row("b"), {"photos/x.png": 1, "photos/y.png": 2})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"other/a.png": 1}, r"none of the image sources photos is in .* \(there: other, table.csv\)"),
        (
            {"photos/a.dcm": b"x", "photos/b.dcm": b"x"},
            r"no image in .*photos: 2 x the suffix .dcm isn't in images.suffixes",
        ),
    ],
)
def test_sources_that_hold_no_image_are_refused(ingest, files, message) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        ingest(row("a"), files, partial=False, label=None, fields={}, leaks={})


def test_a_published_cohort_may_come_without_images_and_says_so(ingest, caplog) -> None:
    _, ingested = ingest(row("a"), {})
    assert "none of the image sources photos is there" in caplog.text and len(ingested.lesions) == 1


PARTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "A", "b", "b01", "b1", "c.png", "c", "d"]),
        st.sampled_from(["row", "bad row", "file", "file", "copy", "damaged", "text"]),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=PARTS)
def test_no_row_and_no_file_is_unaccounted_for(
    tmp_path_factory: pytest.TempPathFactory, make_spec: Callable[..., CohortSpec], parts: list[tuple[str, str]]
) -> None:
    root = tmp_path_factory.mktemp("root")
    folder = root / "small"
    (folder / "photos").mkdir(parents=True)
    rows = [row(name, age="50" if kind == "row" else "x") for name, kind in parts if "row" in kind]
    (folder / "table.csv").write_text(HEADER + "".join([row("always"), *rows]), encoding="utf-8")
    picture(folder / "photos" / "always.png")
    for number, (name, kind) in enumerate(parts):
        place = folder / "photos" / str(number)
        if kind in ("file", "copy"):
            picture(place / f"{name}.png", 50 if kind == "copy" else number)
        elif kind in ("damaged", "text"):
            place.mkdir()
            (place / f"{name}{'.png' if kind == 'damaged' else '.txt'}").write_bytes(b"x")
    _, ingested = ingest_folder(make_spec(images={"sources": ["photos"]}), root)
    on_disk = {str(path) for path in (folder / "photos").rglob("*") if path.is_file()}
    listed = list(ingested.unused_files["path"])
    assert len(set(listed)) == len(listed) and set(listed) <= on_disk
    assert len(on_disk) - len(listed) == ingested.lesions["store_index"].notna().sum()
    assert not (ingested.unused_files[["unused", "reason"]] == "").any(axis=None)
