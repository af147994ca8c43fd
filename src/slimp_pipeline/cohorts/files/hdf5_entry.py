"""One entry of an HDF5 file as the bytes of a picture: opened within the file, judged before it is read."""

import math

import h5py
import numpy as np
from h5py import h5d, h5g, h5l, h5o, h5s, h5t

_MAX_JUMPS = 8  # soft links on the way to one entry
_MAX_BLOCKS = 65_536  # of one entry; HDF5 lists all of them in memory, stored or not


class NoPicture(ValueError):
    """An entry isn't the bytes of a picture, or can't be read; the message says why."""


def open_entry(root: h5g.GroupID, key: str) -> h5g.GroupID | h5d.DatasetID | h5t.TypeID:
    """Open the group or dataset that a key names; no link leads out of the file.

    Args:
        root: The file's root group.
        key: Names parted by slashes, from the root on.

    Raises:
        NoPicture: If a name isn't there, or a link leads into another file, nowhere, or in a circle.
    """
    group, names, jumps = root, key.split("/")[::-1], 0
    while names:
        name = names.pop().encode()
        if not name:
            continue
        kind = _link(group, name)
        if kind is None:
            raise NoPicture("a link that leads nowhere" if jumps else "the file holds no such entry")
        if kind == h5l.TYPE_SOFT:
            target, jumps = group.links.get_val(name).decode(), jumps + 1
            names += target.split("/")[::-1]
            group = root if target.startswith("/") else group
        elif kind == h5l.TYPE_HARD:
            group = h5o.open(group, name)
        else:
            raise NoPicture("a link into another file, which isn't followed: copy what it leads to into this file")
        if jumps > _MAX_JUMPS:
            raise NoPicture("a link that leads over too many others, or in a circle")
    return group


def _link(group: h5g.GroupID | h5d.DatasetID | h5t.TypeID, name: bytes) -> int | None:
    """Kind of a link; None where there is none of that name."""
    if not isinstance(group, h5g.GroupID):
        return None
    try:
        return int(group.links.get_info(name).type)
    except RuntimeError:  # of whatever kind; looking first would make every picture wait
        if group.links.exists(name):
            raise
        return None


def why_no_picture(dataset: h5py.Dataset) -> str:
    """Say why a dataset can't be the bytes of one picture; empty where it can. Its data aren't read."""
    if dataset.is_virtual or dataset.external:
        return "its bytes lie in other files, which aren't read: copy them into this file"
    if dataset.shape is None:
        return "empty"
    one, dtype = dataset.shape in ((), (1,)), dataset.dtype
    opaque = dtype.kind == "V" and dtype.names is None and dtype.subdtype is None
    if one and (opaque or dtype.kind == "S" or _has_variable_length(dtype)):
        return ""
    if len(dataset.shape) == 1 and dtype in (np.uint8, np.int8):
        return ""
    return (
        f"an array of shape {dataset.shape} and type {dtype}, where the bytes of one picture's file (JPEG, PNG ...) "
        "are expected"
    )


def read_entry(file: h5py.File, key: str, *, max_mb: float) -> bytes:
    """Read the bytes of one picture, zero bytes at their end included.

    Args:
        file: Open for reading.
        key: See `open_entry`.
        max_mb: Larger ones are refused without being read (10^6 bytes; `ingest.max_file_mb`).

    Raises:
        NoPicture: If the entry isn't the bytes of a picture, is too large or can't be read.
    """
    try:
        entry = open_entry(file.id, key)
        if isinstance(entry, h5g.GroupID):
            raise NoPicture("a group, where the bytes of a picture are expected")
        if not isinstance(entry, h5d.DatasetID):
            raise NoPicture("a named type, where the bytes of a picture are expected")
        if kind := _one_piece(entry):
            return _bytes_in_one_piece(entry, kind, max_mb)
        dataset = h5py.Dataset(entry)
        if reason := why_no_picture(dataset) or _why_too_large(dataset, max_mb):
            raise NoPicture(reason)
        raw = _bytes(dataset)
    except NoPicture:
        raise
    except MemoryError as error:
        raise NoPicture("it takes more memory than there is") from error
    except Exception as error:  # h5py raises whatever kind HDF5's own message resembles
        raise NoPicture(f"can't be read: {error}") from error
    if reason := too_large(len(raw), max_mb):
        raise NoPicture(reason)
    return raw


def too_large(num_bytes: int, max_mb: float) -> str:
    """Say that a picture's file is too large; empty where it isn't."""
    if num_bytes <= max_mb * 1e6:
        return ""
    return f"{num_bytes / 1e6:,.1f} MB: more than the {max_mb:g} MB that ingest.max_file_mb allows"


def _one_piece(entry: h5d.DatasetID) -> h5t.TypeID | None:
    """Type of an entry that is one value of stated length and lies in this file unbroken, as in most files; else None.

    Telling that takes a fifth of the time of all that `why_no_picture` looks at.
    """
    if entry.get_offset() is None:  # it lies in blocks, in other files, nowhere
        return None
    kind = entry.get_type()
    is_fixed = isinstance(kind, h5t.TypeOpaqueID) or (isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str())
    return kind if is_fixed and entry.get_storage_size() == kind.get_size() else None


def _bytes_in_one_piece(entry: h5d.DatasetID, kind: h5t.TypeID, max_mb: float) -> bytes:
    if reason := too_large(kind.get_size(), max_mb):
        raise NoPicture(reason)
    buffer = np.empty(kind.get_size(), np.uint8)
    entry.read(h5s.ALL, h5s.ALL, buffer, mtype=kind)
    return buffer.tobytes()


def _has_variable_length(dtype: np.dtype) -> bool:
    text = h5py.check_string_dtype(dtype)
    return (text is not None and text.length is None) or h5py.check_vlen_dtype(dtype) in (np.uint8, np.int8)


def _why_too_large(dataset: h5py.Dataset, max_mb: float) -> str:
    """The size that HDF5 takes in memory: a small file may unpack to a huge one, a sparse file may declare any."""
    block = dataset.chunks or dataset.shape
    num_values = max(math.prod(dataset.shape), math.prod(block))
    if reason := too_large(num_values * dataset.dtype.itemsize, max_mb):
        return reason
    num_blocks = math.prod(math.ceil(n / size) for n, size in zip(dataset.shape, block, strict=True) if n)
    return f"stored in more than {_MAX_BLOCKS:,} blocks: write it anew in one" if num_blocks > _MAX_BLOCKS else ""


def _bytes(dataset: h5py.Dataset) -> bytes:
    if _has_variable_length(dataset.dtype):
        value = dataset[()] if dataset.shape == () else dataset[0]
        return value if isinstance(value, bytes) else np.asarray(value).tobytes()
    # NumPy's strings end before zero bytes, and so do HDF5's where their type is converted: neither is let near.
    buffer = np.empty(dataset.shape, dataset.dtype)
    dataset.id.read(h5s.ALL, h5s.ALL, buffer, mtype=dataset.id.get_type())
    return buffer.tobytes()
