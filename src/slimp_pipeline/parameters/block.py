"""What all blocks of settings share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Device = Literal["auto", "cpu", "cuda", "mps"]


class Block(BaseModel):
    """A block of settings: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
