"""Known lesions: whose diagnosis is known, which of them are near to a new one, and whether it is like any of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from slimp_pipeline.extrapolation.neighbours import nearest
from slimp_pipeline.handover.parts import PartFacts, part_files, read_part, write_part
from slimp_pipeline.models.fingerprint import fingerprint_digest
from slimp_pipeline.parameters import Share

PART = "known_lesions"
KNOWN_FILES = part_files(PART)
_NEIGHBOURS = 5  # whose mean distance says how unusual a lesion is
_ROWS_PER_CHUNK = 65_536
_CPU = torch.device("cpu")


class _Facts(PartFacts):
    """What stands beside the embeddings."""

    cohort: str
    diagnosis: list[str] = Field(min_length=1)
    unusual_above: float = Field(allow_inf_nan=False)
    unusual_share: Share


@dataclass(frozen=True)
class KnownLesions:
    """Lesions with a known diagnosis, by their image embeddings.

    Attributes:
        cohort: Where they come from.
        embedding_ND: float32 (N, D), in an order that tells nothing.
        diagnosis_N: Their labels.
        unusual_above: Scores above it are called unusual.
        unusual_share: Share of the known lesions themselves whose score is above it.
    """

    cohort: str
    embedding_ND: np.ndarray
    diagnosis_N: list[str]
    unusual_above: float
    unusual_share: float

    @classmethod
    def fit(
        cls,
        cohort: str,
        embedding_ND: np.ndarray,
        diagnosis_N: Sequence[str],
        patient_N: Sequence[str],
        unusual_share: float,
        seed: int = 0,
    ) -> "KnownLesions":
        """Take lesions in, and set the threshold by how unusual each is among those of other patients.

        They are shuffled, and bear no id: where one stands says nothing of whose it is.

        Raises:
            ValueError: If they are of too few patients for that.
        """
        patient_number_N = np.unique(np.asarray(patient_N, dtype=object).astype(str), return_inverse=True)[1]
        others_N = len(patient_number_N) - np.bincount(patient_number_N)[patient_number_N]
        if not len(others_N) or others_N.min() < _NEIGHBOURS:
            raise ValueError(f"cohort {cohort}: {_NEIGHBOURS} lesions of other patients are needed beside each")
        similarity_NK = nearest(
            embedding_ND, embedding_ND, _NEIGHBOURS, device=_CPU, rows_per_chunk=_ROWS_PER_CHUNK,
            query_keys=[patient_number_N], reference_keys=[patient_number_N],
        )[1]  # fmt: skip
        scores = 1 - similarity_NK.astype(np.float64).mean(axis=1)
        order = np.random.default_rng(seed).permutation(len(embedding_ND))
        return cls(
            cohort,
            embedding_ND[order].astype(np.float32),
            [str(diagnosis_N[row]) for row in order],
            float(np.quantile(scores, 1 - unusual_share)),
            unusual_share,
        )

    def nearest(self, embedding_QD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the k nearest known lesions, int64 (Q, k), nearest first, and their cosine distances, float64."""
        rows_QK, similarity_QK = nearest(
            embedding_QD, self.embedding_ND, min(k, len(self.embedding_ND)), device=_CPU, rows_per_chunk=_ROWS_PER_CHUNK
        )
        return rows_QK, 1 - similarity_QK.astype(np.float64)

    def unusual(self, embedding_QD: np.ndarray) -> np.ndarray:
        """How unusual each is: mean cosine distance to the five nearest known lesions, float64 (Q,).

        Source:
            Distance to the k-th neighbour as a score of out-of-distribution data: Sun et al. 2022, arXiv:2204.06507;
            the mean of five, and the threshold by other patients' lesions, are our choice.
        """
        return self.nearest(embedding_QD, _NEIGHBOURS)[1].mean(axis=1)

    def write(self, folder: Path) -> None:
        """Write into a folder that holds their encoder and the fingerprint of that."""
        facts = _Facts(
            encoder=fingerprint_digest(folder),
            cohort=self.cohort,
            diagnosis=self.diagnosis_N,
            unusual_above=self.unusual_above,
            unusual_share=self.unusual_share,
        )
        write_part(folder, PART, facts, {"embedding": self.embedding_ND})

    @classmethod
    def read(cls, folder: Path) -> "KnownLesions | None":
        """Read from a folder; None where it holds none.

        Raises:
            ValueError: If a file of them is damaged, or they are of another encoder; says which.
        """
        part = read_part(folder, PART, _Facts, {"embedding": 2})
        if part is None:
            return None
        facts, embedding_ND = part[0], part[1]["embedding"].astype(np.float32)
        if len(embedding_ND) != len(facts.diagnosis):
            raise ValueError(f"{folder}: the files {PART}.* are of different lesions. Copy the folder again")
        return cls(facts.cohort, embedding_ND, facts.diagnosis, facts.unusual_above, facts.unusual_share)
