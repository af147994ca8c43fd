"""Zip files of strangers."""

import io
import stat
import struct
import zipfile

import pytest

from slimp_pipeline.cohorts.downloads.unpack import Unpacked, ZipLimits, unpack_zip, unpacked_size


@pytest.fixture
def path(tmp_path):
    return tmp_path / "release.zip"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cohort"


def there(folder) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def with_entry(name: str, content: bytes = b"x", **attributes) -> bytes:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # unlike the constructor, as it is
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("harmless.txt", b"harmless")
        archive.writestr(info, content)
    return buffer.getvalue()


def test_what_a_zip_file_holds_lies_in_the_folder(path, folder, make_zip):
    files = {"images/a.jpg": b"a" * 1000, "table.csv": b"id\na\n"}
    path.write_bytes(make_zip(files))
    written = []
    assert unpacked_size(path) == Unpacked(2, 1005)
    assert unpack_zip(path, folder, go_on=written.append) == Unpacked(2, 1005)
    assert there(folder) == files
    assert sum(written) == 1005


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.txt",
        "images/../../escaped.txt",
        "/etc/escaped",
        "images//a",
        "./a",
        "..",
        "a/..",
        "C:/escaped",
        "a\\..\\b",
        "a\nb",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_written(path, folder, name):
    path.write_bytes(with_entry(name))
    with pytest.raises(
        ValueError, match=r"release.zip isn't unpacked: its entry '.*' (would lie outside|has a name with)"
    ):
        unpack_zip(path, folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("kind", "words"),
    [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "is no regular file"), (stat.S_IFBLK, "is no regular")],
)
def test_links_and_special_files_are_refused(path, folder, kind, words):
    path.write_bytes(with_entry("inside", b"/etc/passwd", external_attr=(kind | 0o777) << 16, create_system=3))
    with pytest.raises(ValueError, match=f"'inside' {words}"):
        unpack_zip(path, folder)


def test_a_bomb_is_told_by_its_ratio(path, folder):
    path.write_bytes(with_entry("zeros.csv", b"\0" * 5_000_000, compress_type=zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match=r"'zeros.csv' would be 5,000,000 bytes, out of [\d,]+: a zip bomb"):
        unpack_zip(path, folder)


def test_a_table_of_zeros_is_no_bomb(path, folder, make_zip):
    table = b"image,MEL,NV\n" + b"".join(b"ISIC_%07d,0.0,1.0\n" % number for number in range(20_000))
    path.write_bytes(make_zip({"truth.csv": table}))
    unpack_zip(path, folder)
    assert (folder / "truth.csv").read_bytes() == table


def test_more_bytes_or_files_than_are_sane_are_refused(path, folder, make_zip):
    path.write_bytes(make_zip({"a": b"1" * 100, "b": b"2" * 100}))
    with pytest.raises(ValueError, match="it would be 200 bytes, more than 150"):
        unpack_zip(path, folder, limits=ZipLimits(num_bytes=150))
    with pytest.raises(ValueError, match="it holds 2 files, more than 1"):
        unpacked_size(path, ZipLimits(num_files=1))


def test_entries_that_share_their_bytes_are_a_bomb(path, folder):
    """As in Fifield's: many entries of the directory lead to the same data."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("first", bytes(range(256)) * 8)
        for number in range(5):
            again = zipfile.ZipInfo(f"again_{number}")
            original = archive.getinfo("first")
            for name in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
                setattr(again, name, getattr(original, name))
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="its entries share the same bytes"):
        unpack_zip(path, folder)


def test_an_entry_that_is_larger_than_it_says_is_no_whole_one(path, folder, make_zip):
    raw = make_zip({"a.txt": b"0123456789" * 100}, zipfile.ZIP_STORED)
    claimed = raw.replace(struct.pack("<II", 1000, 1000), struct.pack("<II", 1000, 10))
    assert claimed != raw
    path.write_bytes(claimed)
    with pytest.raises(ValueError, match=r"its entry 'a.txt' is damaged"):
        unpack_zip(path, folder)
    assert there(folder) == {}


def test_damage_is_found_and_nothing_half_is_left(path, folder, make_zip):
    raw = bytearray(make_zip({"a.txt": b"0123456789" * 100}, zipfile.ZIP_STORED))
    raw[200] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"its entry 'a.txt' is damaged \(Bad CRC-32"):
        unpack_zip(path, folder)
    assert there(folder) == {}


@pytest.mark.parametrize("names", [("a.txt", "A.TXT"), ("a", "a/b")])
def test_names_that_are_one_place_are_refused(path, folder, make_zip, names):
    path.write_bytes(make_zip(dict.fromkeys(names, b"x")))
    with pytest.raises(ValueError, match=r"one name on some disks|is a file and the folder of"):
        unpack_zip(path, folder)


def test_what_is_encrypted_empty_or_no_zip_file_is_told(path, folder, make_zip):
    raw = make_zip({"a.txt": b"secret"}, zipfile.ZIP_STORED)
    at = raw.index(b"PK\x01\x02")
    path.write_bytes(raw[: at + 8] + b"\x01" + raw[at + 9 :])
    with pytest.raises(ValueError, match=r"'a.txt' is encrypted"):
        unpack_zip(path, folder)
    path.write_bytes(make_zip({}))
    with pytest.raises(ValueError, match="holds no file"):
        unpack_zip(path, folder)
    path.write_bytes(b"PK, but not really")
    with pytest.raises(ValueError, match="no whole zip file"):
        unpack_zip(path, folder)


def test_unpacking_can_be_done_again_and_another_file_of_the_same_name_is_not_overwritten(path, folder, make_zip):
    path.write_bytes(make_zip({"a.txt": b"one", "b.txt": b"two"}))
    unpack_zip(path, folder)
    (folder / "b.txt").unlink()  # as if it had been killed
    unpack_zip(path, folder)
    assert there(folder) == {"a.txt": b"one", "b.txt": b"two"}
    path.write_bytes(make_zip({"a.txt": b"ONE"}))
    with pytest.raises(ValueError, match=r"there is another file called 'a.txt' already, with other content"):
        unpack_zip(path, folder)
    assert (folder / "a.txt").read_bytes() == b"one"
