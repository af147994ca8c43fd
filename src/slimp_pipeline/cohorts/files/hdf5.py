"""Pictures in an HDF5 file: one entry each, as in SLICE-3D's `train-image.hdf5`."""

from pathlib import Path
from typing import NamedTuple

import h5py
from h5py import h5d, h5g, h5l

from slimp_pipeline.cohorts.files.hdf5_entry import NoPicture, open_entry, why_no_picture
from slimp_pipeline.cohorts.spec import PICTURE_SUFFIXES

_EXPECTED = "one entry per picture, named by its image id, that holds the bytes of a picture's file (JPEG, PNG ...)"
_NUM_LOOKED_AT = 500  # entries of a group that are opened; each costs 40 us, and a seek where the file isn't cached
_WORDS: dict[type, str] = {
    PermissionError: "permission denied. Let the user who runs this read it",
    BlockingIOError: "another program is writing to it. Wait for it to end",
}


class _Entry(NamedTuple):
    key: str
    reason: str = ""  # why it is no picture
    is_group: bool = False
    many: str = ""  # in words, where it looks like the pictures of many ids


def list_pictures(path: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """List the pictures of an HDF5 file and everything else in it, sorted by name.

    Pictures stand at the top level or one group below (`ISIC_1`, `images/ISIC_1.jpg`). Links are told apart one by
    one. Of a group with more than 500 entries only the first and last hundred and some between are opened, and the
    rest are taken for pictures: reading one that isn't says so. Names may repeat over groups.

    Args:
        path: The file.

    Returns:
        (image_id, key) of every picture: the key's last part without a picture's suffix, and the whole key; and
        (name, reason) of everything else.

    Raises:
        ValueError: If the file can't be read, isn't whole, holds nothing, a group per id, or one array for all.
    """
    try:
        with h5py.File(path, "r") as file:
            top = _entries(file.id, "")
            groups = {entry.key: _entries(file.id, f"{entry.key}/") for entry in top if entry.is_group}
    except (PermissionError, BlockingIOError) as error:
        raise ValueError(f"{path} can't be read: {_WORDS[type(error)]}.") from error
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # HDF5's own, of damage within
        raise ValueError(f"{path} is no whole HDF5 file ({error}). Fetch it again.") from error
    if not top:
        raise ValueError(f"{path} holds nothing, where {_EXPECTED} is expected.")
    _refuse_group_per_id(path, groups)
    listed = [entry for above in top for entry in (_below(above, groups[above.key]) if above.is_group else [above])]
    pictures = [(_image_id(entry.key), entry.key) for entry in listed if not entry.reason]
    if not pictures and (array := next((entry for entry in listed if entry.many), None)):
        raise ValueError(
            f"{path} holds one array for all pictures ({array.key}, {array.many}), where {_EXPECTED} is expected."
        )
    return pictures, [(entry.key, entry.reason) for entry in listed if entry.reason]


def _entries(root: h5g.GroupID, prefix: str) -> list[_Entry]:
    links: list[tuple[bytes, int]] = []
    group = open_entry(root, prefix)  # held, since its list of links alone doesn't keep it open
    group.links.iterate(lambda name, info: links.append((name, info.type)), info=True)
    links.sort()
    seen = _looked_at(len(links))
    entries = [_entry(root, prefix, *link, i in seen) for i, link in enumerate(links)]
    if len(seen) < len(links) and any(entry.is_group for entry in entries):
        entries = [_entry(root, prefix, *link, True) for link in links]
    return entries


def _looked_at(num_entries: int) -> set[int]:
    if num_entries <= _NUM_LOOKED_AT:
        return set(range(num_entries))
    ends = {*range(100), *range(num_entries - 100, num_entries)}
    return ends | set(range(0, num_entries, num_entries // (_NUM_LOOKED_AT - len(ends))))


def _entry(root: h5g.GroupID, prefix: str, raw_name: bytes, link: int, looked_at: bool) -> _Entry:
    try:
        key = prefix + raw_name.decode()
    except UnicodeDecodeError:
        return _Entry(prefix + raw_name.decode(errors="backslashreplace"), "its name isn't UTF-8")
    if link == h5l.TYPE_HARD and not looked_at:
        return _Entry(key)
    try:
        opened = open_entry(root, key)
        if not isinstance(opened, h5d.DatasetID):
            is_group = isinstance(opened, h5g.GroupID)
            return _Entry(key, "" if is_group else "a named type, no picture", is_group)
        dataset = h5py.Dataset(opened)
        return _Entry(key, why_no_picture(dataset), many=_many_pictures(dataset))
    except NoPicture as refusal:
        return _Entry(key, str(refusal))
    except Exception as error:  # h5py raises whatever kind HDF5's own message resembles
        return _Entry(key, f"can't be opened: {error}")


def _many_pictures(dataset: h5py.Dataset) -> str:
    """Word an array of many pictures, as pixels (N, H, W[, channels]) or as files (N,)."""
    shape: tuple[int, ...] = dataset.shape or ()
    dtype = dataset.dtype
    pixels = dtype.kind in "uif" and (len(shape) > 3 or (len(shape) == 3 and shape[-1] not in (1, 3, 4)))
    files = len(shape) == 1 and shape[0] > 1 and h5py.check_vlen_dtype(dtype) is not None
    return f"of shape {shape} and type {dtype}" if pixels or files else ""


def _refuse_group_per_id(path: Path, groups: dict[str, list[_Entry]]) -> None:
    names = [_name(entry.key) for entries in groups.values() for entry in entries]
    if len(groups) > 1 and len(set(names)) * 2 <= len(names) and len(set(names)) <= len(groups):
        first, entries = next(iter(groups.items()))
        held = ", ".join(_name(entry.key) for entry in entries[:5])
        raise ValueError(
            f"{path} holds groups where a picture per id is expected (first: {first}, with {held}). Write {_EXPECTED}."
        )


def _below(group: _Entry, entries: list[_Entry]) -> list[_Entry]:
    if not entries:
        return [_Entry(group.key, "an empty group")]
    deep = "a group within a group, which isn't read: pictures stand at the top level or one group below"
    return [entry._replace(reason=deep) if entry.is_group else entry for entry in entries]


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _image_id(key: str) -> str:
    stem, dot, suffix = _name(key).rpartition(".")
    return stem if stem and dot + suffix.lower() in PICTURE_SUFFIXES else _name(key)
