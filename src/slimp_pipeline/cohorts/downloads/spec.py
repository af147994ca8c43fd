"""Where a cohort's files are got: in the ISIC Archive, as published files, or by hand where a log-in is needed."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from slimp_pipeline.parameters import Block

_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}")
_DOI = re.compile(r"10\.\d{4,9}/\S+")


def _address(url: str) -> str:
    if not re.match(r"https?://[^/\s]+/\S*$", url):
        raise ValueError(f"'{url}' is no address: write https://server/path")
    return url


def _below(path: str) -> str:
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\\" in path or ":" in path or ".." in parts:
        raise ValueError(f"'{path}' must be a path below the cohort's folder")
    return path


def _checksum(text: str) -> str:
    if not _CHECKSUM.fullmatch(text):
        raise ValueError(f"'{text}' is no checksum: write sha256: or md5: and its digits in lower case")
    return text


def _doi(text: Any) -> Any:
    """A DOI alone, of whatever form people write."""
    if text is None:
        return None
    plain = re.sub(r"^(https?://)?(dx\.)?doi\.org/|^doi:\s*", "", str(text).strip(), flags=re.IGNORECASE)
    if not _DOI.fullmatch(plain):
        raise ValueError(f"'{text}' is no DOI: write 10.34970/587329")
    return plain


Address = Annotated[str, AfterValidator(_address)]
PathBelow = Annotated[str, AfterValidator(_below)]
Checksum = Annotated[str, AfterValidator(_checksum)]
Doi = Annotated[str, BeforeValidator(_doi)]


class ArchiveQuery(Block):
    """Images of the ISIC Archive: those in one of the collections that fit the search; with neither, none."""

    collections: list[int] = []  # ids; their pages are at https://api.isic-archive.com/collections/<id>/
    doi: Doi | None = None  # of a collection, which is looked up
    search: str | None = None  # in the archive's query language: age_approx:[5 TO 25] AND sex:male

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.collections or self.doi or self.search)


class ReleaseFile(Block):
    """A file of a published release, which is got without a log-in."""

    url: Address
    to: PathBelow  # the file's path below the cohort's folder; of what is unpacked the folder, `.` for the cohort's own
    unpack: bool = False  # a zip file, which is unpacked and not kept
    size_bytes: int | None = Field(None, ge=0)  # these two as published; None: not known
    checksum: Checksum | None = None


class ExpectedFile(Block):
    """A file of a whole copy."""

    file: PathBelow
    rows: int | None = Field(None, ge=0)  # of a table
    size_bytes: int | None = Field(None, ge=0)
    checksum: Checksum | None = None


class Expected(Block):
    """What a whole copy holds, as far as it is known."""

    num_images: int | None = Field(None, ge=0)  # in the cohort's image sources
    files: list[ExpectedFile] = []

    @property
    def is_known(self) -> bool:
        """Whether anything is."""
        return self.num_images is not None or bool(self.files)


class DownloadSpec(Block):
    """How a cohort's files are got."""

    archive: ArchiveQuery | None = None  # empty: what to ask for is said by the settings of `download`
    files: list[ReleaseFile] = []
    steps: list[str] = []  # by hand, where a log-in or a form is needed, or where a download fails
    expected: Expected = Expected()

    @model_validator(mode="after")
    def _something_is_got(self) -> "DownloadSpec":
        if not self.archive and not self.files and not self.steps:
            raise ValueError("`download` needs `archive`, `files` or `steps`: how is it got?")
        return self

    @property
    def is_by_hand(self) -> bool:
        """Whether nothing is fetched: a person puts the files there."""
        return not self.archive and not self.files
