"""Fewer rows of the common classes, where all rows would cost too much."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Thinned:
    """Rows that stand for all.

    Attributes:
        rows: Which rows are kept, by position, sorted.
        stands_for_K: For how many rows of its class each of them stands; 0 for a class without rows.
    """

    rows: np.ndarray
    stands_for_K: np.ndarray


def thin(label_N: np.ndarray, num_classes: int, max_rows: int | None, seed: int) -> Thinned:
    """Keep at most `max_rows` rows, drawn at random, of all classes alike as far as they have that many.

    A rare class keeps all of its rows. Our choice.

    Args:
        label_N: Class numbers, 0..K-1.
        num_classes: K.
        max_rows: None: all.
        seed: Of the draw.
    """
    rows, size_K = np.arange(len(label_N)), np.bincount(label_N, minlength=num_classes)
    if max_rows and len(rows) > max_rows:
        shuffled = np.random.default_rng(seed).permutation(len(rows))
        place_N = np.empty(len(rows), dtype=np.int64)  # of each row within its class
        for label in range(num_classes):
            members = np.flatnonzero(label_N[shuffled] == label)
            place_N[members] = np.arange(len(members))
        # The first of every class, then the second of every class that has one, and so on.
        rows = np.sort(shuffled[np.argsort(place_N, kind="stable")[:max_rows]])
    return Thinned(rows, size_K / np.maximum(np.bincount(label_N[rows], minlength=num_classes), 1))
