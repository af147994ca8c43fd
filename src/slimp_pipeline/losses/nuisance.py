"""Nuisance fields: how much of an embedding they explain, to be kept low."""

import torch
import torch.nn.functional as F
from torch import Tensor

from slimp_pipeline.tables.encoding import LevelEncoding

_TINY = 1e-6


def explained_share(embedding_BD: Tensor, value_BC: Tensor, known_BC: Tensor) -> Tensor:
    """Share of the embedding's variance that a column explains by itself, mean over columns.

    Squared correlation of every dimension with every column over the rows where the column is known, mean over
    dimensions. What a linear probe reads is what correlates; where nothing does, there is nothing to read. A batch has
    some by chance: 1 / (B - 1) on average.

    Args:
        embedding_BD: Embeddings, float, shape (B, D).
        value_BC: Columns, float; what isn't known is ignored.
        known_BC: bool, likewise.

    Returns:
        Between 0 and 1, shape (), float32; 0 without a column of which two values are known.

    Source:
        Our choice of an orthogonal term, beside FINO's idea (arXiv:2606.05107) of fields that an encoder should not
        carry.
    """
    with torch.autocast(embedding_BD.device.type, enabled=False):
        # The variance of few rows that are nearly alike is a small difference of squares: float32 loses its digits.
        exact = torch.float32 if embedding_BD.device.type == "mps" else torch.float64
        embedding_BD, known_BC = embedding_BD.to(exact), known_BC.to(exact)
        embedding_BD = embedding_BD - embedding_BD.mean(dim=0)
        value_BC = torch.where(known_BC > 0, value_BC.to(exact), 0)
        count_C1 = known_BC.sum(dim=0).clamp(min=1).unsqueeze(1)
        mean_BC = (value_BC.sum(dim=0) / count_C1.squeeze(1)) * known_BC
        centred_CB = ((value_BC - mean_BC) * known_BC).T
        mean_CD = known_BC.T @ embedding_BD / count_C1
        variance_CD = (known_BC.T @ embedding_BD.square() / count_C1 - mean_CD.square()).clamp(min=_TINY)
        variance_C1 = centred_CB.square().sum(dim=1, keepdim=True) / count_C1
        covariance_CD = centred_CB @ embedding_BD / count_C1  # centred on one side is enough
        share_C = (covariance_CD.square() / (variance_CD * variance_C1.clamp(min=_TINY))).mean(dim=1)
        telling_C = (variance_C1.squeeze(1) > _TINY).to(exact)
        return ((share_C * telling_C).sum() / telling_C.sum().clamp(min=1)).float()


def nuisance_columns(level: LevelEncoding, fields: dict[str, Tensor], known_BF: Tensor) -> tuple[Tensor, Tensor]:
    """Encoded fields as columns, and where they are known: (B, C) float and bool.

    A number is a column, a category that training had is one, and an option of a checkbox group.

    Args:
        level: The fields.
        fields: Encoded, B rows.
        known_BF: Which are known, bool; fields in token order: numeric, categorical, checkbox groups.
    """
    sizes = [len(level.fields[name].categories) for name in level.names("categorical")]  # type: ignore[union-attr]
    boxes = [len(level.fields[name].options) for name in level.names("checkbox")]  # type: ignore[union-attr]
    one_hot = [  # of codes, the first two of which stand for no category
        F.one_hot(code_B, size + 2)[:, 2:].float() for code_B, size in zip(fields["categorical"].T, sizes, strict=True)
    ]
    widths = [*[1] * fields["numeric"].shape[1], *sizes, *boxes]
    known = [known_B.unsqueeze(1).expand(-1, width) for known_B, width in zip(known_BF.T, widths, strict=True)]
    value_BC = torch.cat([torch.nan_to_num(fields["numeric"]), *one_hot, fields["checkbox"]], dim=1)
    return value_BC, torch.cat(known, dim=1) if known else torch.zeros_like(value_BC, dtype=torch.bool)
