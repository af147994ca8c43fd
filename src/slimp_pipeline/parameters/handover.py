"""What is shown and handed on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from slimp_pipeline.parameters.block import Block, Device, Share

UserPath = Annotated[Path, AfterValidator(Path.expanduser)]  # within --params=x=~/y no shell replaces the tilde
PictureFormat = Literal["svg", "png"]


class ReportParams(Block):
    """What the HTML page shows."""

    gallery_size: int = Field(6, ge=0)  # queries; 0: none
    num_patients: int = Field(3, ge=0)  # whose lesions are shown together: those with the most
    max_lesions: int = Field(24, ge=2)  # of such a patient
    show_ids: bool = False  # ids of the cohort on the page
    salt: Path = Path("data/pseudonym_salt")  # the secret behind pseudonyms, made when it is needed
    max_page_mb: float = Field(
        10.0, ge=6, le=10
    )  # in 10^6 bytes; beyond it pictures are left out, and the page says so
    picture_formats: list[PictureFormat] = ["svg", "png"]  # of every figure, drawn by Chrome or Chromium


class ExportParams(Block):
    """What is handed on of an encoder, and to whom."""

    partition: str | None = None  # of the encoders; None: `all`, else the first
    onnx: bool = True
    opset: int = Field(18, ge=18)  # version of ONNX's operators
    unusual_share: Share = 0.01  # of known lesions: those less like the others than this share are what `unusual` means
    registered_as: str | None = None  # name in MLflow's model registry; None: `slimp-<source>`
    alias: str = Field("newest", pattern=r"^[A-Za-z][\w-]*$")  # of this version there
    hub: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")  # user/name; token from HF_TOKEN
    hub_private: bool = True
    hub_known_lesions: bool = False  # also those: embeddings of patients' pictures

    @field_validator("alias")
    @classmethod
    def _is_free(cls, alias: str) -> str:
        if alias.lower() == "latest":
            raise ValueError("MLflow keeps `latest` for itself; take another alias")
        return alias


class EmbeddingParams(Block):
    """One's own pictures, and the exported encoder that embeds them; what is excluded are paths, and not tracked."""

    images: UserPath | None = Field(None, exclude=True)  # folder, or HDF5 file keyed by image id
    metadata: UserPath | None = Field(None, exclude=True)  # table with a row for each picture
    encoder: UserPath | None = Field(None, exclude=True)  # exported folder; None: the newest export
    challenge: Literal["isic2024", "milk10k"] | None = None  # whose submission file is written
    sample: UserPath | None = Field(None, exclude=True)  # the challenge's sample file, which says rows and their order
    image_column: str = "image_id"  # of the metadata table
    lesion_column: str = "lesion_id"  # likewise; it may be absent
    patient_column: str = "patient_id"  # likewise; tells lesions apart whose ids patients share
    device: Device = "auto"
    num_nearest: int = Field(5, ge=1)  # known lesions that are named for each picture
    max_refused_share: Share = 0.0  # of the pictures; above it the run ends with an error, all the same with results

    @model_validator(mode="after")
    def _sample_is_of_a_challenge(self) -> "EmbeddingParams":
        if self.sample and not self.challenge:
            raise ValueError("`sample` is the sample file of a challenge: set challenge=isic2024 or challenge=milk10k")
        return self
