"""How a cohort is got, read, packed, split and encoded."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from slimp_pipeline.parameters.block import Block, Share


class DownloadParams(Block):
    """How a cohort's files are got, and which images of the ISIC Archive where its YAML doesn't say.

    On the command line, where there are no lists, spaces part the collections.
    """

    archive: str = Field("https://api.isic-archive.com/api/v2", pattern=r"^https?://\S+$")  # its API, or a mirror's
    collections: list[int] = []  # ids; these three instead of what the cohort's YAML asks for
    doi: str | None = None  # of a collection
    search: str | None = None  # in the archive's query language
    max_images: int | None = Field(None, ge=1)  # of the archive, to try it out; None: all
    max_missing_share: Share = 0.0  # of the images that were asked for; above it nothing is put in place
    num_connections: int = Field(8, ge=1, le=64)  # at once
    requests_per_second: float = Field(20.0, gt=0)
    max_tries: int = Field(6, ge=1)  # of each file
    max_wait_s: float = Field(120.0, gt=0)  # before another try, whatever the server asks for
    timeout_s: float = Field(30.0, gt=0)  # without a sign of the server
    max_image_mb: float = Field(256.0, gt=0)  # in 10^6 bytes; larger ones are refused
    spare_disk_gb: float = Field(2.0, ge=0)  # that stays free, in 10^9 bytes

    @field_validator("collections", mode="before")
    @classmethod
    def _parted(cls, collections: Any) -> Any:
        return str(collections).split() if isinstance(collections, str | int) else collections


class IngestParams(Block):
    """How raw images are checked and packed."""

    max_side_px: int = Field(512, ge=16)  # larger images are resized once, when packed
    max_megapixels: float = Field(60.0, gt=0)  # larger images are refused as decompression bombs
    max_file_mb: float = Field(256.0, gt=0)  # of one image's file, in 10^6 bytes; larger ones are refused unread
    max_seconds_per_image: float = Field(20.0, gt=0)  # images whose check takes longer are refused
    jpeg_quality: int = Field(95, ge=50, le=100)
    max_quarantined_share: Share = 0.05  # of table rows; above it the run stops
    num_processes: int = Field(2, ge=1)


class FeatureParams(Block):
    """How patients are split and which fields are encoded."""

    seed: int = 0
    split_level: Literal["patient", "site", "lesion", "image"] = "patient"  # the last two leak: to show by how much
    num_folds: int = Field(5, ge=0)  # 0: the hold-out alone is tested
    holdout_share: Share = 0.0  # of patients, in no fold: tested once
    split_file: Path | None = None  # official split: CSV with image_id (or isic_id) and split
    fields: Literal["all", "always_present"] | list[str] = "all"
    swapped_levels: bool = False  # a control: the innermost level's fields stand for patients', and back
    max_missing_share: Share = 0.05  # always_present: fields missing in more of the rows are left out
    near_duplicate_bits: int = Field(3, ge=0, le=3)  # Hamming distance of 64-bit perceptual hashes

    @field_validator("num_folds")
    @classmethod
    def _one_fold_is_none(cls, num_folds: int) -> int:
        if num_folds == 1:
            raise ValueError("one fold has no others to train on. Give two or more, or 0 to test the hold-out alone")
        return num_folds

    @property
    def leaks(self) -> bool:
        """Whether patients stand on both sides of a split."""
        return self.split_level in ("lesion", "image")

    def result_name(self, cohort: str) -> str:
        """Name of a cohort in results; a split other than by patient is part of it, and a control."""
        cohort = f"{cohort} (levels swapped: a control)" if self.swapped_levels else cohort
        if self.split_level == "site":
            return f"{cohort} (whole sites held out)"
        return f"{cohort} (split by {self.split_level}: leaks)" if self.leaks else cohort
