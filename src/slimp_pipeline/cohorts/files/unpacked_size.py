"""How large a packed table may become: more than any cohort has, and less than a bomb."""

from pathlib import Path

_MOST_BYTES = 20 * 2**30  # a packed file that unpacks to more is refused
_MOST_RATIO, _RATIO_FROM_BYTES = 1000, 100 * 2**20  # and one beyond this ratio, from this size on


def check_unpacked_size(path: Path, num_bytes: int, packed_bytes: int) -> None:
    """Raise ValueError if a file that unpacks to so many bytes, or has so far, is no table."""
    if num_bytes > _MOST_BYTES or num_bytes > max(_RATIO_FROM_BYTES, _MOST_RATIO * packed_bytes):
        raise ValueError(
            f"{path} unpacks to {num_bytes / 2**30:.1f} GiB or more from {packed_bytes / 2**20:.1f} MiB, more than a "
            "table can be. Is it the right file? If so, unpack it and name the table file that it holds."
        )
