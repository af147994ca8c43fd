"""What all blocks of settings share."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Device = Literal["auto", "cpu", "cuda", "mps"]


class Block(BaseModel):
    """A block of settings: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _texts_are_whole(cls, values: Any) -> Any:
        """YAML and JSON can hold half a surrogate pair, which no table, file or page can."""
        for text in _texts_in(values):
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ValueError(f"{text!r} holds half a character: write the character itself")
        return values


def _texts_in(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict):
        for key, value in values.items():
            yield from _texts_in(key)
            yield from _texts_in(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _texts_in(value)
