"""An image as the ISIC Archive lists it; nothing in it is trusted."""

import re
import sys
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from slimp_pipeline.cohorts.downloads.transfer import Source

_ISIC_ID = re.compile(r"ISIC_[0-9]{7,12}")


class _File(BaseModel):
    url: str
    size: int = Field(ge=0)


class _Files(BaseModel):
    full: _File


class _Metadata(BaseModel):
    acquisition: dict[str, Any] = {}
    clinical: dict[str, Any] = {}


class _Listed(BaseModel):
    isic_id: str
    copyright_license: str | None = None
    attribution: str | None = None
    files: _Files
    metadata: _Metadata = _Metadata()


@dataclass(frozen=True, slots=True)
class Record:
    """An image, as small as may be: the archive has hundreds of thousands.

    Attributes:
        isic_id: Its id, which is safe as the name of a file.
        licence: As the archive calls it; "" where it states none.
        attribution: Whom to name; likewise.
        source: Where its file is, for some hours.
        cells: Its row of metadata.csv, columns as isic-cli names them.
    """

    isic_id: str
    licence: str
    attribution: str
    source: Source
    cells: dict[str, Any]

    @property
    def size_bytes(self) -> int:
        """Of its file, as it is listed."""
        return self.source.size_bytes or 0


def read_record(image: Any) -> Record | str:
    """An image as it is listed; what is wrong with one that can't be used, its id first."""
    shown = repr(str(image.get("isic_id") if isinstance(image, dict) else image)[:60])
    try:
        listed = _Listed.model_validate(image)
    except ValidationError as error:
        wrong = ".".join(map(str, error.errors()[0]["loc"]))
        return f"{shown}: the archive lists it without a usable {wrong or 'record'}"
    file = listed.files.full
    if not _ISIC_ID.fullmatch(listed.isic_id):
        return f"{shown}: the archive lists it under an id that is none of its own (ISIC_0000000)"
    if not file.url.startswith(("https://", "http://")):
        return f"{shown}: the archive lists it with an address that is none"
    cells = listed.metadata.acquisition | listed.metadata.clinical
    return Record(
        listed.isic_id,
        sys.intern(listed.copyright_license or ""),
        sys.intern(listed.attribution or ""),
        Source(file.url, file.size),
        {sys.intern(name): value for name, value in cells.items()},
    )
