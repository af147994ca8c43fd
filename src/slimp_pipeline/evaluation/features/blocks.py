"""Feature blocks: standardised on training rows and scaled to equal weight."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ROWS_AT_ONCE = 2**15


@dataclass(frozen=True)
class Scaling:
    """Joins feature blocks so that each has the same weight in a linear model, however wide it is.

    Each column is standardised by its training rows, each block divided by the square root of its number
    of varying columns, so that a training row has squared length 1 per block on average. Columns that are
    constant in training are dropped; a block without any other is one column of zeros.

    Attributes:
        columns: Of each block, which columns are kept.
        mean: Of these, float64.
        factor: What each is multiplied with, float64.
    """

    columns: list[np.ndarray]
    mean: list[np.ndarray]
    factor: list[np.ndarray]

    @classmethod
    def fit(cls, blocks_ND: Sequence[np.ndarray]) -> "Scaling":
        """Fit on blocks of training rows, each float (N, D_block)."""
        columns, mean, factor = [], [], []
        for block_ND in blocks_ND:
            mean_D, std_D = _mean_and_deviation(block_ND)
            varying_D = std_D > 1e-9 * (1 + np.abs(mean_D))
            kept = np.flatnonzero(varying_D) if varying_D.any() else np.zeros(1, dtype=np.int64)
            columns.append(kept)
            mean.append(mean_D[kept])
            factor.append(1 / (std_D[kept] * np.sqrt(len(kept))) if varying_D.any() else np.zeros(1))
        return cls(columns, mean, factor)

    def __call__(self, blocks_ND: Sequence[np.ndarray]) -> np.ndarray:
        """Scale the same blocks of any rows: float32 (N, sum of the widths that are left)."""
        widths = [len(columns) for columns in self.columns]
        scaled_ND = np.empty((len(blocks_ND[0]), sum(widths)), dtype=np.float32)
        parts = np.split(scaled_ND, np.cumsum(widths)[:-1], axis=1)
        for part_ND, block_ND, columns, mean_D, factor_D in zip(
            parts, blocks_ND, self.columns, self.mean, self.factor, strict=True
        ):
            for start in range(0, len(block_ND), _ROWS_AT_ONCE):
                rows = slice(start, start + _ROWS_AT_ONCE)
                part_ND[rows] = (block_ND[rows, columns] - mean_D) * factor_D
        return scaled_ND


def scale_blocks(blocks_ND: Sequence[np.ndarray], train_N: np.ndarray) -> np.ndarray:
    """Scale blocks by their training rows, bool (N,), as `Scaling` does."""
    return Scaling.fit([block_ND[train_N] for block_ND in blocks_ND])(blocks_ND)


def _mean_and_deviation(block_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean_D = block_ND.mean(axis=0, dtype=np.float64)
    sum_D = np.zeros_like(mean_D)
    for start in range(0, len(block_ND), _ROWS_AT_ONCE):
        sum_D += np.square(block_ND[start : start + _ROWS_AT_ONCE] - mean_D).sum(axis=0)
    return mean_D, np.sqrt(sum_D / len(block_ND))
