"""Low-shot training sets: a few rows per class, or a small share of the patients."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from slimp_pipeline.parameters import LowShotParams

_MIN_PATIENTS = 2
_MAX_REDRAWS = 100


@dataclass(frozen=True)
class LowShotDraw:
    """One low-shot training set.

    Attributes:
        shots: Its size as the results table names it: rows per class ("5") or share of the patients ("25%").
        draw: Number of the draw, from 0.
        rows_N: Which rows train, bool (N,); some or all of the training rows.
    """

    shots: str
    draw: int
    rows_N: np.ndarray


def low_shot_draws(
    label_N: np.ndarray, patient_N: np.ndarray, train_N: np.ndarray, settings: LowShotParams, seed: int
) -> Iterator[LowShotDraw]:
    """Draw small training sets, each with at least two classes.

    Rows per class: drawn without replacement and spread over as many patients as possible; a class of fewer rows
    gives all of them, and a count that no class reaches is left out. Shares of patients: at least two patients; a
    draw of one class is redrawn up to 100 times, then left out; a share that takes every patient is drawn once.
    A larger draw holds the smaller ones of its number, of either kind.

    Args:
        label_N: Class numbers, int (N,).
        patient_N: Patient ids, (N,).
        train_N: Which rows may be drawn, bool (N,).
        settings: Counts, shares and number of draws.
        seed: At least 0. A draw of rows per class depends on the seed and its number alone, and so does a draw of
            patients unless a smaller share had to be redrawn: larger shares then follow it.

    Returns:
        Draws, by kind, then number, then size.

    Raises:
        ValueError: If the training rows are of one class or one patient, or lack a patient id, or if a count or a
            share is not above 0.
    """
    rows, labels = np.flatnonzero(train_N), label_N[train_N]
    patients, patient_ids = pd.factorize(patient_N[train_N])
    if len(np.unique(labels)) < 2:
        raise ValueError("low-shot training rows are all of one class or none: give rows of two classes")
    if (patients < 0).any():
        raise ValueError(f"{(patients < 0).sum()} training rows have no patient id: make each its own patient")
    if len(patient_ids) < _MIN_PATIENTS:
        raise ValueError("low-shot training rows are all of one patient: give rows of two patients")
    if any(size <= 0 for size in (*settings.shots_per_class, *settings.patient_shares)):
        raise ValueError("low_shot.shots_per_class and low_shot.patient_shares must be above 0")
    drawn = chain(_draw_classes(labels, patients, settings, seed), _draw_patients(labels, patients, settings, seed))
    num_rows = len(train_N)
    return (LowShotDraw(shots, draw, np.isin(np.arange(num_rows), rows[chosen])) for shots, draw, chosen in drawn)


def _draw_classes(
    labels: np.ndarray, patients: np.ndarray, settings: LowShotParams, seed: int
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield shots, draw, and the positions of the rows drawn: the first of each class in a random order."""
    classes, num_rows_K = np.unique(labels, return_counts=True)
    counts = [count for count in sorted(set(settings.shots_per_class)) if count <= num_rows_K.max()]
    for draw in range(settings.num_draws):
        rng = np.random.default_rng([seed, draw, 0])
        orders = [_spread(np.flatnonzero(labels == label), patients, rng) for label in classes]
        for count in counts:
            yield str(count), draw, np.concatenate([order[:count] for order in orders])


def _spread(positions: np.ndarray, patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order rows at random so that every patient has its first row before any has its second, and so on."""
    shuffled = rng.permutation(positions)
    patient = pd.Series(pd.factorize(patients[shuffled])[0])
    place_of_patient = rng.permutation(patient.max() + 1)
    return shuffled[np.lexsort((place_of_patient[patient], patient.groupby(patient).cumcount()))]


def _draw_patients(
    labels: np.ndarray, patients: np.ndarray, settings: LowShotParams, seed: int
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield shots, draw, and which rows are drawn: those of the first patients in a random order."""
    num_patients = int(patients.max()) + 1
    for draw in range(settings.num_draws):
        rng = np.random.default_rng([seed, draw, 1])
        place_of_patient = rng.permutation(num_patients)
        for share in sorted(set(settings.patient_shares)):
            num_drawn = max(_MIN_PATIENTS, round(share * num_patients))
            if num_drawn == num_patients and draw > 0:
                continue
            # An order with two classes at this share has them at every larger one: draws stay nested.
            for _ in range(_MAX_REDRAWS):
                if _is_mixed(labels[place_of_patient[patients] < num_drawn]):
                    break
                place_of_patient = rng.permutation(num_patients)
            chosen = place_of_patient[patients] < num_drawn
            if _is_mixed(labels[chosen]):
                yield f"{100 * share:g}%", draw, chosen


def _is_mixed(labels: np.ndarray) -> bool:
    return bool((labels != labels[0]).any())
