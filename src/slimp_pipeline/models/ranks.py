"""Processes that train one model together, each with a device of its own: who they are, and what they exchange."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


class RankLost(ConnectionError):
    """Another process went away, or the connection to it: mostly a symptom of what happened there."""


@dataclass(frozen=True)
class Ranks:
    """Process number `rank` of `count`, which are connected where they are several."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that measures, reports and keeps."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum in place over all processes: the same bits in each.

        Raises:
            RankLost: If one of them is gone.
        """
        if self.count > 1:
            try:
                dist.all_reduce(values)
            except RuntimeError as error:
                raise RankLost(f"the {self.count} processes of the training lost one another ({error})") from error
        return values

    def gather(self, rows: Tensor, place: slice | Tensor, num_rows: int) -> Tensor:
        """Put together the rows of all processes, with gradient.

        Every process computes the same loss from what is gathered, so that the gradient of its own rows is at hand: no
        exchange is needed on the way back.

        Args:
            rows: Of this process, (n, ...).
            place: Where they stand among all.
            num_rows: Of all processes together.
        """
        return _Gathered.apply(rows, place, num_rows, self)

    def part_ways(self) -> None:
        """Let torch draw other random numbers in every process from here on; the first goes on as it would alone."""
        if self.rank:
            torch.manual_seed(torch.initial_seed() + self.rank * 2_654_435_761)  # far off in the 32 bits that count


ALONE = Ranks()


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, place: slice | Tensor, num_rows: int, ranks: Ranks) -> Tensor:
        ctx.place = place
        whole = rows.new_zeros(num_rows, *rows.shape[1:])
        whole[place] = rows
        return ranks.sum(whole)  # zeros but for one's own: parts may be of any sizes, and no bit is lost

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return gradient[ctx.place], None, None, None
