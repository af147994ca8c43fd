"""Read pictures with an exported model: embeddings, nearest known lesions, how unusual, probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from slimp_pipeline.handover.classifier import Classifier
from slimp_pipeline.handover.known import KnownLesions
from slimp_pipeline.models.checkpoint import checkpoint_folder
from slimp_pipeline.models.pretrained import PretrainedSLIMP, load
from slimp_pipeline.tables.encoding import LevelEncoding


@dataclass(frozen=True)
class Readings:
    """What is told of N lesions.

    Attributes:
        image_ND: Image embeddings, float32.
        lesion_NM: Embeddings of lesion metadata, float32; of rows without any, the learnt vector of nothing known. With
            three levels the picture's own come before them.
        patient_NM: The same of patient metadata.
        nearest_NK: Rows of the nearest known lesions, int64; None without known lesions.
        distance_NK: Their cosine distances, float64.
        unusual_N: Scores of `KnownLesions.unusual`, float64; None without known lesions.
        probability_NC: Calibrated, float64; None without a classifier.
    """

    image_ND: np.ndarray
    lesion_NM: np.ndarray
    patient_NM: np.ndarray
    nearest_NK: np.ndarray | None
    distance_NK: np.ndarray | None
    unusual_N: np.ndarray | None
    probability_NC: np.ndarray | None


class LesionReader:
    """An exported model, loaded.

    Args:
        folder: A checkpoint folder, or what `kedro run --pipeline=export` left, which knows more; or a folder above
            that holds no other.
        device: Where it computes.
        num_nearest: Known lesions that are named for each new one.

    Raises:
        FileNotFoundError: If it is no checkpoint folder.
        ValueError: If a file of it is damaged, or its fingerprint doesn't come out again.
    """

    def __init__(self, folder: str | Path, device: str = "cpu", num_nearest: int = 5) -> None:
        folder = checkpoint_folder(folder)
        self.encoder: PretrainedSLIMP = load(folder, device)
        self.known = KnownLesions.read(folder)
        self.classifier = Classifier.read(folder)
        self.num_nearest = num_nearest
        self._require_one_width(folder)

    @cached_property
    def numeric_fields(self) -> list[str]:
        """Metadata columns that hold numbers."""
        return [name for level in self._levels for name in level.names("numeric")]

    @cached_property
    def other_fields(self) -> list[str]:
        """Metadata columns that hold categories, or ticks of checkboxes."""
        return [
            column
            for level in self._levels
            for name in level.fields
            if name not in level.names("numeric")
            for column in level.columns(name)
        ]

    def read(self, pictures: Sequence[bytes], metadata: pd.DataFrame) -> Readings:
        """Read pictures, JPEG or whatever `ingest` takes, with a row of metadata each.

        Raises:
            ValueError: If a picture can't be read; says which, counted from 0, and why.
        """
        image_ND = self.encoder.encode_pictures(pictures)
        nearest_NK, distance_NK = self.known.nearest(image_ND, self.num_nearest) if self.known else (None, None)
        return Readings(
            image_ND,
            self.encoder.encode_metadata(metadata),
            self.encoder.encode_patients(metadata),
            nearest_NK,
            distance_NK,
            self.known.unusual(image_ND) if self.known else None,
            self.classifier.probabilities(image_ND) if self.classifier else None,
        )

    def _require_one_width(self, folder: Path) -> None:
        width = int(self.encoder.model.image_encoder.num_features)  # type: ignore[arg-type]
        known = self.known.embedding_ND.shape[1] if self.known else width
        classifier = len(self.classifier.weight_DK) if self.classifier else width
        if not width == known == classifier:
            raise ValueError(
                f"{folder}: its encoder gives {width} numbers for a picture, its known lesions have {known}, its "
                f"classifier reads {classifier}. Were the files of several exports mixed? Copy the folder again"
            )

    @property
    def _levels(self) -> list[LevelEncoding]:
        return list(self.encoder.checkpoint.encoding.levels.values())
