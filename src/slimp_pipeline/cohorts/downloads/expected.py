"""What a whole copy of a cohort holds, held against what lies there."""

from collections.abc import Iterator
from pathlib import Path

from slimp_pipeline.cohorts.downloads.contents import digest
from slimp_pipeline.cohorts.downloads.ledger import FAILED, GOT, Entry
from slimp_pipeline.cohorts.downloads.spec import ExpectedFile
from slimp_pipeline.cohorts.files.image_files import find_image_files
from slimp_pipeline.cohorts.files.table_file import read_table
from slimp_pipeline.cohorts.spec import CohortSpec


def check_expected(spec: CohortSpec, folder: Path) -> list[Entry]:
    """Count and compare what the cohort's YAML says of a whole copy.

    Args:
        spec: A cohort with `download`.
        folder: Where its files lie.

    Returns:
        An entry for each file and for the images: `got` where they are as they should be, else why not.
    """
    return [*_files(spec, folder), *_images(spec, folder)]


def _files(spec: CohortSpec, folder: Path) -> Iterator[Entry]:
    for expected in spec.download.expected.files if spec.download else ():
        path = folder / expected.file
        if not path.is_file():
            yield Entry("expected", expected.file, FAILED, reason="it isn't there", licence=spec.licence)
            continue
        reason = _compared(path, expected)
        yield Entry(
            "expected", expected.file, FAILED if reason else GOT, num_bytes=path.stat().st_size, sha256=digest(path),
            reason=reason, licence=spec.licence,
        )  # fmt: skip


def _compared(path: Path, expected: ExpectedFile) -> str:
    """How a file differs from what is expected; "" where it doesn't."""
    num_bytes = path.stat().st_size
    if expected.size_bytes not in (None, num_bytes):
        return f"it has {num_bytes:,} bytes, a whole copy has {expected.size_bytes:,}"
    method, _, checksum = (expected.checksum or "").partition(":")
    if checksum and (found := digest(path, method)) != checksum:
        return f"its checksum is {method}:{found}, the published one is {expected.checksum}"
    if expected.rows is not None:
        try:
            num_rows = len(read_table(path))
        except ValueError as error:
            return str(error)
        if num_rows != expected.rows:
            return f"it has {num_rows:,} rows, a whole copy has {expected.rows:,}"
    return ""


def _images(spec: CohortSpec, folder: Path) -> Iterator[Entry]:
    num_expected = spec.download.expected.num_images if spec.download else None
    if num_expected is None or spec.images is None:
        return
    found = [file for file in find_image_files(spec.images, folder) if not file.unused]
    words = f"{len(found):,} images, a whole copy has {num_expected:,}"
    if len(found) == num_expected:
        yield Entry("expected", "images", GOT, licence=spec.licence, reason=f"{num_expected:,} images")
    else:
        yield Entry("expected", "images", FAILED, licence=spec.licence, reason=words)
