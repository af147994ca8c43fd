"""Feature blocks: standardised on training rows and scaled to equal weight."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_ROWS_AT_ONCE = 2**13


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
        widths: Of each block, how many columns it has.
    """

    columns: list[np.ndarray]
    mean: list[np.ndarray]
    factor: list[np.ndarray]
    widths: list[int]

    @classmethod
    def fit(cls, blocks_ND: Sequence[np.ndarray], train_N: np.ndarray | None = None) -> "Scaling":
        """Fit on training rows, bool (N,), of blocks, each float (N, D_block); None: on all rows."""
        columns, mean, factor = [], [], []
        rows = _positions(blocks_ND, train_N)
        for block_ND in blocks_ND:
            mean_D, std_D = _mean_and_deviation(block_ND, rows)
            varying_D = std_D > 1e-9 * (1 + np.abs(mean_D))
            kept = np.flatnonzero(varying_D) if varying_D.any() else np.zeros(1, dtype=np.int64)
            columns.append(kept)
            mean.append(mean_D[kept])
            factor.append(1 / (std_D[kept] * np.sqrt(len(kept))) if varying_D.any() else np.zeros(1))
        return cls(columns, mean, factor, [block_ND.shape[1] for block_ND in blocks_ND])

    def __call__(self, blocks_ND: Sequence[np.ndarray], rows_N: np.ndarray | None = None) -> np.ndarray:
        """Scale some rows, bool (N,), of the same blocks, or all: float32 (rows, sum of the widths that are left)."""
        rows, kept = _positions(blocks_ND, rows_N), [len(columns) for columns in self.columns]
        scaled_ND = np.empty((len(rows), sum(kept)), dtype=np.float32)
        parts = np.split(scaled_ND, np.cumsum(kept)[:-1], axis=1)
        for part_ND, block_ND, columns, mean_D, factor_D in zip(
            parts, blocks_ND, self.columns, self.mean, self.factor, strict=True
        ):
            is_whole = len(columns) == block_ND.shape[1]
            for chosen, place in _parts(rows):
                values_ND = block_ND[chosen] if is_whole else block_ND[chosen][:, columns]
                values_ND = values_ND - mean_D
                np.multiply(values_ND, factor_D, out=part_ND[place], casting="same_kind")
        return scaled_ND

    def joined(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns, mean and factor of the blocks joined side by side, as they are before they are scaled."""
        starts = np.cumsum([0, *self.widths[:-1]])
        columns = [own + start for own, start in zip(self.columns, starts, strict=True)]
        return np.concatenate(columns), np.concatenate(self.mean), np.concatenate(self.factor)


def scale_blocks(blocks_ND: Sequence[np.ndarray], train_N: np.ndarray) -> np.ndarray:
    """Scale blocks by their training rows, bool (N,), as `Scaling` does."""
    return Scaling.fit(blocks_ND, train_N)(blocks_ND)


def _positions(blocks_ND: Sequence[np.ndarray], rows_N: np.ndarray | None) -> np.ndarray:
    return np.arange(len(blocks_ND[0])) if rows_N is None else np.flatnonzero(rows_N)


def _parts(rows: np.ndarray) -> Iterator[tuple[np.ndarray, slice]]:
    """Some of the rows at a time, and their place among them."""
    places = (slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(rows), _ROWS_AT_ONCE))
    return ((rows[place], place) for place in places)


def _mean_and_deviation(block_ND: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean_D = sum(block_ND[chosen].sum(axis=0, dtype=np.float64) for chosen, _ in _parts(rows)) / len(rows)
    sum_D = np.zeros_like(mean_D)
    for chosen, _ in _parts(rows):
        offset_ND = block_ND[chosen] - mean_D
        sum_D += np.einsum("nd,nd->d", offset_ND, offset_ND)
    return mean_D, np.sqrt(sum_D / len(rows))
