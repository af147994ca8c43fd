"""Masked-metadata reconstruction: hidden fields told from the image and the fields that are left."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slimp_pipeline.tables.encoding import LevelEncoding


class Reconstruction(nn.Module):
    """Heads that tell one level's hidden fields from a context vector, all linear.

    Args:
        level: The fields.
        context_dim: X, width of the context.

    Source:
        Masked modelling of table cells as in TabTransformer (arXiv:2012.06678) and TRACE (arXiv:2411.08701);
        that it is added to the contrastive loss is our choice.
    """

    def __init__(self, level: LevelEncoding, context_dim: int) -> None:
        super().__init__()
        self._num_categories = [len(level.fields[name].categories) for name in level.names("categorical")]  # type: ignore[union-attr]
        self._num_options = [len(level.fields[name].options) for name in level.names("checkbox")]  # type: ignore[union-attr]
        self._num_numeric = len(level.names("numeric"))
        self.heads = nn.Linear(context_dim, self._num_numeric + sum(self._num_categories) + sum(self._num_options))

    def forward(self, context_NX: Tensor, fields: dict[str, Tensor], hidden_NF: Tensor) -> Tensor:
        """Mean loss over the hidden cells, shape (); 0 where none is hidden.

        Numeric: half the squared error of the standardised value; categorical: cross entropy; checkbox group:
        binary cross entropy, mean over its options.

        Args:
            context_NX: What the cells are told from.
            fields: Encoded fields as they were before hiding.
            hidden_NF: Which cells were hidden; fields in token order: numeric, categorical, checkbox groups.
        """
        sizes = [self._num_numeric, *self._num_categories, *self._num_options]
        numeric_Nn, *others = self.heads(context_NX).float().split(sizes, dim=1)
        cells = list(((numeric_Nn - torch.nan_to_num(fields["numeric"])) ** 2 / 2).unbind(dim=1))
        for column, logits_NK in enumerate(others[: len(self._num_categories)]):
            code_N = (fields["categorical"][:, column] - 2).clamp(min=0)  # hidden cells have a known category
            known = logits_NK.shape[1] > 0  # a field of which training never had a value is never hidden
            cells.append(F.cross_entropy(logits_NK, code_N, reduction="none") if known else logits_NK.sum(dim=1))
        ticked = fields["checkbox"].split(self._num_options, dim=1) if self._num_options else ()
        for logits_NO, ticked_NO in zip(others[len(self._num_categories) :], ticked, strict=True):
            cells.append(F.binary_cross_entropy_with_logits(logits_NO, ticked_NO, reduction="none").mean(dim=1))
        if not cells:
            return context_NX.sum() * 0
        loss_NF = torch.stack(cells, dim=1)
        return (loss_NF * hidden_NF).sum() / hidden_NF.sum().clamp(min=1)
