"""Log-sum-exp over all pairs of rows, tile by tile: the matrix of logits never stands in memory."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def rows_per_tile(device: torch.device) -> int:
    """Side of a tile: one that stays in a core's cache, or that keeps a GPU busy (64 MB)."""
    return 1024 if device.type == "cpu" else 4096


def pair_logsumexp(
    left_ND: Tensor, right_MD: Tensor, *, skip_diagonal: bool = False, tile: int | None = None
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp of each row and of each column of `left_ND @ right_MD.T`, in memory linear in N and M.

    The backward pass computes every tile once more, instead of keeping it.

    Args:
        left_ND: float, N rows.
        right_MD: M rows of the same type on the same device.
        skip_diagonal: Leave out pairs of equal number, as if their logit were minus infinity.
        tile: Rows of a tile on either side; None: what suits the device.

    Returns:
        Shapes (N,) and (M,). Differentiable once.

    Source:
        After the tiles of Inf-CL, arXiv:2410.17243, on one device.
    """
    return _PairLogSumExp.apply(left_ND, right_MD, skip_diagonal, tile or rows_per_tile(left_ND.device))


class _PairLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left_ND: Tensor, right_MD: Tensor, skip_diagonal: bool, tile: int) -> tuple[Tensor, Tensor]:
        row_N = left_ND.new_full((len(left_ND),), float("-inf"))
        column_M = right_MD.new_full((len(right_MD),), float("-inf"))
        for rows, columns, logits in _tiles(left_ND, right_MD, skip_diagonal, tile):
            row_N[rows] = torch.logaddexp(row_N[rows], logits.logsumexp(dim=1))
            column_M[columns] = torch.logaddexp(column_M[columns], logits.logsumexp(dim=0))
        ctx.save_for_backward(left_ND, right_MD, row_N, column_M)
        ctx.how = skip_diagonal, tile
        return row_N, column_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, row_grad_N: Tensor, column_grad_M: Tensor) -> tuple[Tensor, Tensor, None, None]:
        left_ND, right_MD, row_N, column_M = ctx.saved_tensors
        left_grad_ND, right_grad_MD = torch.zeros_like(left_ND), torch.zeros_like(right_MD)
        with torch.autocast(left_ND.device.type, enabled=False):
            for rows, columns, logits in _tiles(left_ND, right_MD, *ctx.how):
                # The softmax over a row's pairs, and over a column's, each times the gradient of its log-sum-exp.
                grad = (logits - row_N[rows, None]).exp_().mul_(row_grad_N[rows, None])
                grad += logits.sub_(column_M[columns]).exp_().mul_(column_grad_M[columns])
                left_grad_ND[rows].addmm_(grad, right_MD[columns])
                right_grad_MD[columns].addmm_(grad.T, left_ND[rows])
        return left_grad_ND, right_grad_MD, None, None


def _tiles(left_ND: Tensor, right_MD: Tensor, skip_diagonal: bool, tile: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows, columns and logits of every tile."""
    for row in range(0, len(left_ND), tile):
        for column in range(0, len(right_MD), tile):
            rows, columns = slice(row, row + tile), slice(column, column + tile)
            logits = left_ND[rows] @ right_MD[columns].T
            if skip_diagonal and row == column:
                logits.fill_diagonal_(float("-inf"))
            yield rows, columns, logits
