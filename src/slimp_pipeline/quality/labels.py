"""Likely label errors: pictures whose label neither a probe on other patients nor their neighbours agree with."""

import logging
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.protocols.probe import fit_probe
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.quality.neighbours import Nearest
from slimp_pipeline.quality.surprise import surprise
from slimp_pipeline.training.device import pick_device

logger = logging.getLogger(__name__)
_NUM_FOLDS = 5
COLUMNS = ["row", "other_row", "score", "label", "likely_label", "probability", "num_agree", "num_neighbours"]


@dataclass(frozen=True)
class _Labelled:
    """Pictures with a label that enough patients have.

    Attributes:
        rows: Which, ascending.
        label_R: Class numbers.
        classes: Class names.
        patient_R: Patients' numbers.
    """

    rows: np.ndarray
    label_R: np.ndarray
    classes: list[str]
    patient_R: np.ndarray

    @classmethod
    def of(cls, pictures: pd.DataFrame) -> "_Labelled":
        """Leave out labels of fewer patients than there are folds: nothing could be learnt of them in each."""
        known = pictures.loc[pictures["diagnosis"].notna(), ["diagnosis", "patient_id"]]
        num_patients = known.groupby("diagnosis")["patient_id"].nunique()
        if rare := sorted(num_patients.index[num_patients < _NUM_FOLDS]):
            logger.info("Labels of fewer than %d patients aren't judged: %s", _NUM_FOLDS, ", ".join(rare))
        chosen = pictures["diagnosis"].isin(num_patients.index[num_patients >= _NUM_FOLDS])
        label_R, classes = pd.factorize(pictures.loc[chosen, "diagnosis"], sort=True)
        patient_R = pd.factorize(pictures.loc[chosen, "patient_id"])[0]
        return cls(np.flatnonzero(chosen), label_R, list(classes), patient_R)

    def by_row(self, num_rows: int) -> np.ndarray:
        """Class numbers of all pictures, -1 where they have none: (N,)."""
        label_N = np.full(num_rows, -1)
        label_N[self.rows] = self.label_R
        return label_N


def rank_labels(
    pictures: pd.DataFrame, embedding_ND: np.ndarray, nearest: Nearest, settings: EvaluationParams, max_rows: int
) -> pd.DataFrame:
    """Rank pictures by how few are as badly off with their label, by two measures together (`surprise`).

    One is the label's probability, told by a linear probe on the embeddings that learnt from other patients. The other
    is a vote of the nearest pictures of other patients: the label's share less that of the commonest other label.
    Pictures whose label is the most probable one are no suspects.

    Args:
        pictures: patient_id, diagnosis (missing where not known); N rows.
        embedding_ND: Their embeddings.
        nearest: Nearest pictures of other patients.
        settings: Strengths of the probe, seed, device.
        max_rows: How many are returned.

    Returns:
        `COLUMNS`: row, other_row (the nearest picture with the likely label; -1 where none of the nearest has it),
        score, label, likely_label, probability (of that), num_agree (of the neighbours with a label, how many have the
        same), num_neighbours (with a label); the highest scores first. None where fewer than two labels can be judged.

    Source:
        Out-of-fold probabilities: confident learning, Northcutt et al. 2021, doi:10.1613/jair.1.12125. Neighbours of
        the same and of other labels: an idea of SelfClean, Groeger et al., arXiv:2305.17048.
    """
    labelled = _Labelled.of(pictures)
    if len(labelled.classes) < 2:
        return pd.DataFrame(columns=COLUMNS)
    score_RC = _out_of_fold(labelled, embedding_ND, settings)
    near_RK = nearest.index_NK[labelled.rows]
    near_label_RK = np.where(near_RK >= 0, labelled.by_row(len(pictures))[near_RK], -1)
    vote_RC = np.stack([(near_label_RK == number).sum(axis=1) for number in range(len(labelled.classes))], axis=1)
    own_RC = labelled.label_R[:, None] == np.arange(len(labelled.classes))
    num_agree_R, num_near_R = vote_RC[own_RC], vote_RC.sum(axis=1)
    vote_R = (num_agree_R - np.where(own_RC, 0, vote_RC).max(axis=1)) / np.maximum(num_near_R, 1)
    total_R = surprise(score_RC[own_RC], vote_R)
    likely_R = score_RC.argmax(axis=1)
    chosen = np.flatnonzero(likely_R != labelled.label_R)
    chosen = chosen[np.lexsort((chosen, score_RC[own_RC][chosen], -total_R[chosen]))][:max_rows]
    names = np.array(labelled.classes, dtype=object)
    values = (
        labelled.rows[chosen],
        _first(near_RK[chosen], near_label_RK[chosen] == likely_R[chosen, None]),
        total_R[chosen],
        names[labelled.label_R[chosen]],
        names[likely_R[chosen]],
        score_RC[chosen, likely_R[chosen]],
        num_agree_R[chosen],
        num_near_R[chosen],
    )
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def _first(near_RK: np.ndarray, is_wanted_RK: np.ndarray) -> np.ndarray:
    """The nearest that is wanted, -1 where none is: (R,)."""
    first_R = near_RK[np.arange(len(near_RK)), is_wanted_RK.argmax(axis=1)]
    return np.where(is_wanted_RK.any(axis=1), first_R, -1)


def _out_of_fold(labelled: _Labelled, embedding_ND: np.ndarray, settings: EvaluationParams) -> np.ndarray:
    """Probability of each label, by a probe that learnt from other patients: float64 (R, C)."""
    score_RC = np.zeros((len(labelled.rows), len(labelled.classes)))
    folds = StratifiedGroupKFold(_NUM_FOLDS, shuffle=True, random_state=settings.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare labels are spread as they can be
        parts = list(folds.split(labelled.label_R, labelled.label_R, labelled.patient_R))
    for train, held_out in tqdm(parts, desc="Judging labels", unit="fold", leave=False, disable=None):
        train_N, test_N = (_mask(len(embedding_ND), labelled.rows[part]) for part in (train, held_out))
        scaling = Scaling.fit([embedding_ND], train_N)
        probe = fit_probe(
            scaling([embedding_ND], train_N),
            labelled.label_R[train],
            labelled.patient_R[train],
            len(labelled.classes),
            settings.probe,
            settings.seed,
            pick_device(settings.device),
        )
        score_RC[held_out] = probe.scores(scaling([embedding_ND], test_N))
    return score_RC


def _mask(num_rows: int, rows: np.ndarray) -> np.ndarray:
    mask_N = np.zeros(num_rows, dtype=bool)
    mask_N[rows] = True
    return mask_N
