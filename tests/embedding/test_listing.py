"""What lies in a folder of pictures."""

import h5py
import numpy as np
import pytest

from slimp_pipeline.embedding.listing import EMBEDDED, NO_PICTURE, REFUSED, list_pictures


def outcomes(folder):
    return list_pictures(folder).set_index("picture")["outcome"].to_dict()


def test_pictures_are_listed_by_name_and_folder_and_other_files_with_a_reason(make_pictures):
    folder = make_pictures("b.png", "a.jpg", "more/a.jpg")
    (folder / "notes.txt").write_text("x")
    (folder / ".DS_Store").touch()
    listed = list_pictures(folder)
    asked = listed[listed["outcome"] == EMBEDDED]
    assert asked["picture"].tolist() == ["a.jpg", "b.png", "more/a.jpg"]
    assert asked["image_id"].tolist() == ["a", "b", "a"]
    assert outcomes(folder)["notes.txt"] == outcomes(folder)[".DS_Store"] == NO_PICTURE
    reason = listed.set_index("picture").loc["notes.txt", "reason"]
    assert reason == "the suffix .txt is no picture's"


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [
        ("scan.dcm", b"\0" * 128 + b"DICM", "it is DICOM. Export its picture as JPEG or PNG"),
        ("scan", b"\0" * 128 + b"DICM", "the suffix (none) is no picture's that is read: it is DICOM"),
        ("phone.HEIC", b"\0\0\0\x18ftypheic", "it is HEIC. Convert it to JPEG"),
        ("camera.cr2", b"II*\0\x10\0\0\0CR\2\0", "it is a camera's raw file"),
        ("IMG_7", b"\x89PNG\r\n\x1a\n", "it is a picture. Give it its suffix, or export it as JPEG or PNG"),
    ],
)
def test_a_picture_whose_name_is_no_picture_s_is_refused_not_passed_over(make_pictures, name, start, said):
    folder = make_pictures("a.png")
    (folder / name).write_bytes(start + bytes(200))
    row = list_pictures(folder).set_index("picture").loc[name]
    assert row["outcome"] == REFUSED and said in row["reason"]


@pytest.mark.parametrize("text", [b"BMI,age\n21,30\n", b"P1 is a patient", b"%PDF-1.7", b"PK\3\4", b""])
def test_what_only_begins_like_a_picture_is_none(make_pictures, text):
    folder = make_pictures("a.png")
    (folder / "other.file").write_bytes(text)
    assert outcomes(folder)["other.file"] == NO_PICTURE


def test_links_that_lead_out_are_refused_and_those_that_stay_inside_are_followed(make_pictures, tmp_path):
    folder = make_pictures("real/a.png")
    outside = tmp_path / "secret"
    outside.mkdir()
    (outside / "b.png").write_bytes((folder / "real/a.png").read_bytes())
    (outside / "readme.txt").write_text("x")
    (folder / "out.png").symlink_to(outside / "b.png")
    (folder / "elsewhere").symlink_to(outside)
    (folder / "inside.png").symlink_to(folder / "real/a.png")
    (folder / "nowhere.png").symlink_to(folder / "absent.png")
    assert outcomes(folder) == {
        "real/a.png": EMBEDDED,
        "inside.png": EMBEDDED,
        "out.png": REFUSED,
        "elsewhere/b.png": REFUSED,
        "elsewhere/readme.txt": NO_PICTURE,
        "nowhere.png": REFUSED,
    }


def test_a_folder_that_is_itself_reached_by_a_link_is_read(make_pictures, tmp_path):
    make_pictures("a.png")
    (tmp_path / "link").symlink_to(tmp_path / "pictures")
    assert outcomes(tmp_path / "link") == {"a.png": EMBEDDED}


def test_an_hdf5_file_is_read_by_its_keys(photograph, tmp_path):
    with h5py.File(tmp_path / "test-image.hdf5", "w") as file:
        for name in ("ISIC_0000002", "ISIC_0000001"):
            file[name] = np.void(photograph)
    listed = list_pictures(tmp_path / "test-image.hdf5")
    assert sorted(listed["picture"]) == sorted(listed["image_id"]) == ["ISIC_0000001", "ISIC_0000002"]


def test_no_folder_and_no_picture_are_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        list_pictures(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"no picture in .*: 1 x the suffix \.txt"):
        list_pictures(tmp_path)
