"""Nearest pictures of a cohort among its own, exact, in memory that grows as the number of pictures does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

ROWS_PER_BLOCK = 4096  # similarities of a block with another are held at once
_MOST_SPARSE = 2**18  # candidates of a block that are taken one by one; of more, each row's nearest are
_STEPS = 2.0**24  # by which similarities are told apart


@dataclass(frozen=True)
class Nearest:
    """Each picture's nearest ones, the nearest first.

    Attributes:
        index_NK: Rows, int64; -1 where there are fewer than K.
        distance_NK: Cosine distance, float32 from 0 to 2; infinite where there are fewer.
    """

    index_NK: np.ndarray
    distance_NK: np.ndarray


def nearest_others(
    embedding_ND: np.ndarray,
    groups: Sequence[np.ndarray],
    k: int,
    *,
    device: torch.device,
    rows_per_block: int = ROWS_PER_BLOCK,
) -> list[Nearest]:
    """Find each row's k nearest rows of other groups, by cosine; for several groupings at once.

    Every two blocks of rows are compared once, in float32; what is found is measured again in float64 and put in
    order. Of rows equally near, those of lower number come first; which of them are found at all where they are more
    than k isn't defined. A row of zeros is at right angles to all others.

    Args:
        embedding_ND: Finite float (N, D).
        groups: Groupings, each int (N,): a row is no neighbour of those in its group. `np.arange(N)` lets all in.
        k: Neighbours per row, at least 1.
        device: Where it is computed.
        rows_per_block: Memory is about 8 bytes times its square, and 12 bytes per row, neighbour and grouping.

    Returns:
        The nearest by each grouping.
    """
    found = [_Best(torch.from_numpy(np.asarray(group)).to(device), k) for group in groups]
    num_blocks = -(-len(embedding_ND) // rows_per_block)
    total = num_blocks * (num_blocks + 1) // 2
    with tqdm(total=total, desc="Comparing pictures", unit="block", leave=False, disable=None) as bar:
        for rows, own_BD in _unit_blocks(embedding_ND, 0, rows_per_block, device):
            for columns, other_CD in _unit_blocks(embedding_ND, rows.start, rows_per_block, device):
                similarity_BC = own_BD @ other_CD.T
                _offer(found, rows, columns, similarity_BC)
                if columns.start > rows.start:
                    _offer(found, columns, rows, similarity_BC.T)
                bar.update()
    return [_in_order(embedding_ND, best.index_NK.cpu().numpy(), rows_per_block) for best in found]


def distances(embedding_ND: np.ndarray, pair_E2: np.ndarray) -> np.ndarray:
    """Cosine distance of pairs of rows, computed in float64: float32 (E,)."""
    distance_E = np.empty(len(pair_E2), dtype=np.float32)
    for start in range(0, len(pair_E2), ROWS_PER_BLOCK):
        part = slice(start, start + ROWS_PER_BLOCK)
        one_ED, other_ED = (_unit(embedding_ND[rows]) for rows in pair_E2[part].T)
        distance_E[part] = _distance(np.einsum("ed,ed->e", one_ED, other_ED))
    return distance_E


class _Best:
    """The nearest that were found so far, of one grouping."""

    def __init__(self, group_N: Tensor, k: int) -> None:
        self.group_N = group_N
        self.index_NK = torch.full((len(group_N), k), -1, dtype=torch.int64, device=group_N.device)
        self.similarity_NK = torch.full((len(group_N), k), -torch.inf, device=group_N.device)

    def take(self, row_E: Tensor, column_E: Tensor, value_E: Tensor) -> None:
        """Take what is nearer than the farthest of a row's, out of single candidates, which are sorted by row."""
        wanted_E = self.group_N[row_E] != self.group_N[column_E]
        wanted_E &= value_E > self.similarity_NK[row_E, -1]
        self._merge(*_by_row(row_E[wanted_E], value_E[wanted_E], column_E[wanted_E]))

    def take_all(self, rows: slice, columns: slice, similarity_BC: Tensor) -> None:
        """The same out of all columns."""
        shared_BC = self.group_N[rows, None] == self.group_N[None, columns]
        num_taken = min(self.similarity_NK.shape[1], similarity_BC.shape[1])
        value_BK, place_BK = similarity_BC.masked_fill(shared_BC, -torch.inf).topk(num_taken, dim=1)
        hit_B = torch.arange(rows.start, rows.stop, device=value_BK.device)
        self._merge(hit_B, value_BK, place_BK + columns.start)

    def _merge(self, hit_H: Tensor, value_HX: Tensor, index_HX: Tensor) -> None:
        value_HY = torch.cat([self.similarity_NK[hit_H], value_HX], dim=1)
        index_HY = torch.cat([self.index_NK[hit_H], index_HX], dim=1)
        kept_HK, place_HK = value_HY.topk(self.similarity_NK.shape[1], dim=1)
        self.similarity_NK[hit_H] = kept_HK
        self.index_NK[hit_H] = index_HY.gather(1, place_HK).masked_fill_(kept_HK == -torch.inf, -1)


def _offer(found: Sequence[_Best], rows: slice, columns: slice, similarity_BC: Tensor) -> None:
    """Offer the columns' rows to the rows: single candidates where they are few, else all."""
    farthest_BG = torch.stack([best.similarity_NK[rows, -1] for best in found], dim=1)
    nearer_BC = similarity_BC > farthest_BG.amin(dim=1, keepdim=True)
    if int(torch.count_nonzero(nearer_BC)) > _MOST_SPARSE:
        for best in found:
            best.take_all(rows, columns, similarity_BC)
        return
    row_E, column_E = _places(nearer_BC)
    value_E = similarity_BC[row_E, column_E]
    for best in found:
        best.take(row_E + rows.start, column_E + columns.start, value_E)


def _places(mask_BC: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of what is true, sorted by row."""
    if mask_BC.device.type != "cpu":
        return mask_BC.nonzero(as_tuple=True)  # type: ignore[return-value]
    if mask_BC.is_contiguous():  # NumPy is ten times as fast here, along the memory
        row, column = np.divmod(np.flatnonzero(mask_BC.numpy()), mask_BC.shape[1])
    else:
        column, row = np.divmod(np.flatnonzero(mask_BC.T.numpy()), mask_BC.shape[0])
        order = np.argsort(row, kind="stable")
        row, column = row[order], column[order]
    return torch.from_numpy(row), torch.from_numpy(column)


def _by_row(row_E: Tensor, value_E: Tensor, index_E: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates, which are sorted by row, as a table with a line per row that has any: rows, values, indices."""
    hit_H, num_H = torch.unique_consecutive(row_E, return_counts=True)
    width = int(num_H.max()) if len(num_H) else 0
    line_E = torch.repeat_interleave(num_H)
    place_E = torch.arange(len(row_E), device=row_E.device) - (num_H.cumsum(0) - num_H)[line_E]
    value_HX = value_E.new_full((len(hit_H), width), -torch.inf)
    index_HX = index_E.new_full((len(hit_H), width), -1)
    value_HX[line_E, place_E], index_HX[line_E, place_E] = value_E, index_E
    return hit_H, value_HX, index_HX


def _unit_blocks(
    embedding_ND: np.ndarray, first: int, rows_per_block: int, device: torch.device
) -> Iterator[tuple[slice, Tensor]]:
    for start in range(first, len(embedding_ND), rows_per_block):
        rows = slice(start, min(start + rows_per_block, len(embedding_ND)))
        yield rows, F.normalize(torch.from_numpy(embedding_ND[rows].astype(np.float32)).to(device), dim=1)


def _in_order(embedding_ND: np.ndarray, index_NK: np.ndarray, rows_per_block: int) -> Nearest:
    """The same neighbours, their distances exact, sorted by these and by row."""
    ordered_NK, distance_NK = np.empty_like(index_NK), np.empty(index_NK.shape, dtype=np.float32)
    for start in range(0, len(index_NK), rows_per_block):
        rows = slice(start, min(start + rows_per_block, len(index_NK)))
        own_BD, distance_BK = _unit(embedding_ND[rows]), np.empty(index_NK[rows].shape)
        for place in range(index_NK.shape[1]):
            other_BD = _unit(embedding_ND[index_NK[rows, place]])
            distance_BK[:, place] = _distance(np.einsum("bd,bd->b", own_BD, other_BD))
        distance_BK[index_NK[rows] < 0] = np.inf
        order_BK = np.lexsort((index_NK[rows], distance_BK), axis=1)
        ordered_NK[rows] = np.take_along_axis(index_NK[rows], order_BK, axis=1)
        distance_NK[rows] = np.take_along_axis(distance_BK, order_BK, axis=1)
    return Nearest(ordered_NK, distance_NK)


def _unit(vector_ND: np.ndarray) -> np.ndarray:
    vectors = vector_ND.astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-60)


def _distance(similarity: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.round(similarity * _STEPS) / _STEPS, 0)
