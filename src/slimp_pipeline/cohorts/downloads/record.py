"""An image as the ISIC Archive lists it; nothing in it is trusted."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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


class Record(BaseModel):
    """An image as the archive lists it."""

    model_config = ConfigDict(frozen=True)

    isic_id: str
    copyright_license: str | None = None
    attribution: str | None = None
    files: _Files
    metadata: _Metadata = _Metadata()

    @property
    def source(self) -> Source:
        """Where its file is, for some hours."""
        return Source(self.files.full.url, self.files.full.size)

    @property
    def cells(self) -> dict[str, Any]:
        """Its row of metadata.csv, columns as isic-cli names them."""
        return self.metadata.acquisition | self.metadata.clinical


def read_record(image: Any) -> Record | str:
    """An image as it is listed; what is wrong with one that can't be used, its id first."""
    shown = repr(str(image.get("isic_id") if isinstance(image, dict) else image)[:60])
    try:
        record = Record.model_validate(image)
    except ValidationError as error:
        wrong = ".".join(map(str, error.errors()[0]["loc"]))
        return f"{shown}: the archive lists it without a usable {wrong or 'record'}"
    if not _ISIC_ID.fullmatch(record.isic_id):
        return f"{shown}: the archive lists it under an id that is none of its own (ISIC_0000000)"
    if not record.files.full.url.startswith(("https://", "http://")):
        return f"{shown}: the archive lists it with an address that is none"
    return record
