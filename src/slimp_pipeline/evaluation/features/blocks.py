"""Feature blocks: standardised on training rows and scaled to equal weight."""

from collections.abc import Sequence

import numpy as np


def scale_blocks(blocks_ND: Sequence[np.ndarray], train_N: np.ndarray) -> np.ndarray:
    """Join feature blocks so that each has the same weight in a linear model, however wide it is.

    Each column is standardised by its training rows, each block divided by the square root of its number
    of varying columns, so that a training row has squared length 1 per block on average. Columns that are
    constant in training are dropped; a block without any other is one column of zeros.

    Args:
        blocks_ND: Blocks of the same rows, each float (N, D_block).
        train_N: Which rows are training rows.

    Returns:
        float64 (N, sum of the widths that are left).
    """
    scaled = []
    for block_ND in blocks_ND:
        block_ND = block_ND.astype(np.float64)
        mean_D, std_D = block_ND[train_N].mean(axis=0), block_ND[train_N].std(axis=0)
        varying_D = std_D > 1e-9 * (1 + np.abs(mean_D))
        if not varying_D.any():
            scaled.append(np.zeros((len(block_ND), 1)))
            continue
        standard_ND = (block_ND - mean_D)[:, varying_D] / std_D[varying_D]
        scaled.append(standard_ND / np.sqrt(varying_D.sum()))
    return np.concatenate(scaled, axis=1)
