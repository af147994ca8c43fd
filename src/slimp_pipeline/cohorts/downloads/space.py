"""Room on the disk, looked for before something large is written."""

import shutil
from pathlib import Path


def require_space(folder: Path, num_bytes: int, what: str, spare_gb: float) -> None:
    """Refuse to start what won't fit.

    Args:
        folder: Where it is to be written; it needn't be there yet.
        num_bytes: How much that will be.
        what: What it is, for people.
        spare_gb: What has to stay free beside it, in 10^9 bytes.

    Raises:
        OSError: If there is too little room; says how much is needed, and how much there is.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(place).free
    if num_bytes + spare_gb * 1e9 > free:
        raise OSError(
            f"{what} needs {in_words(num_bytes)}, and {in_words(spare_gb * 1e9)} have to stay free "
            f"(download.spare_disk_gb), but {place} has {in_words(free)}. Make room, or set SLIMP_RAW to a folder on "
            "another disk. What was got so far is kept"
        )


def in_words(num_bytes: float) -> str:
    """A number of bytes as people read it, in powers of 1,000: `2.6 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(num_bytes) < 999.5:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"
