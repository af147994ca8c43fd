"""Metadata encoder: one token per field, a transformer over the tokens, their mean."""

import torch
from torch import Tensor, nn

from slimp_pipeline.parameters import MetadataEncoderParams
from slimp_pipeline.tables.encoding import MISSING, UNSEEN, LevelEncoding

_NO_WEIGHT = 1e-30  # what a row of which nothing is known is divided by; its mean isn't read
TensorFields = dict[str, Tensor]
"""Encoded fields as tensors; keys and shapes as in `tables.encoding.EncodedFields`."""


class FieldTokenizer(nn.Module):
    """Tokens of encoded fields: numeric -> small MLP, categorical -> embedding, checkbox -> sum of options.

    A field that isn't known (missing, or a category that training never had) gives no token: it is masked
    out of attention and mean alike, so that a row's embedding depends on what is known of it.
    """

    offsets: Tensor
    membership: Tensor

    def __init__(self, level: LevelEncoding, dim: int, hidden: int = 32) -> None:
        super().__init__()
        num_numeric = len(level.names("numeric"))
        sizes = [len(level.fields[name].categories) + 2 for name in level.names("categorical")]  # type: ignore[union-attr]
        boxes = [len(level.fields[name].options) for name in level.names("checkbox")]  # type: ignore[union-attr]
        # One MLP per numeric field, R -> hidden -> dim, all in one product.
        self.numeric_in = nn.Parameter(torch.randn(num_numeric, hidden))
        self.numeric_in_bias = nn.Parameter(torch.randn(num_numeric, hidden))
        self.numeric_out = nn.Parameter(torch.randn(num_numeric, hidden, dim) * hidden**-0.5)
        self.numeric_out_bias = nn.Parameter(torch.randn(num_numeric, dim) * 0.02)
        # One table for all categorical fields: field f's codes start at offset f.
        self.categories = nn.Embedding(sum(sizes), dim)
        self.options = nn.Parameter(torch.randn(sum(boxes), dim))
        self.option_bias = nn.Parameter(torch.randn(len(boxes), dim))
        self.register_buffer("offsets", torch.tensor([0, *sizes[:-1]], dtype=torch.long).cumsum(0)[: len(sizes)])
        membership = torch.zeros(len(boxes), sum(boxes))
        start = 0
        for group, size in enumerate(boxes):
            membership[group, start : start + size] = 1
            start += size
        self.register_buffer("membership", membership)

    def forward(self, fields: TensorFields) -> tuple[Tensor, Tensor]:
        """Return tokens (N, F, D) and which of them are known, bool (N, F)."""
        numeric_Nn, categorical_Nc = fields["numeric"], fields["categorical"]
        hidden = nn.functional.gelu(torch.nan_to_num(numeric_Nn).unsqueeze(-1) * self.numeric_in + self.numeric_in_bias)
        numeric_NnD = torch.einsum("nfh,fhd->nfd", hidden, self.numeric_out) + self.numeric_out_bias
        categorical_NcD = self.categories(categorical_Nc + self.offsets)
        ticked_NgO = fields["checkbox"].unsqueeze(1) * self.membership
        checkbox_NgD = ticked_NgO @ self.options + self.option_bias
        tokens = torch.cat([numeric_NnD, categorical_NcD, checkbox_NgD], dim=1)
        return tokens, known_fields(fields)


def known_fields(fields: TensorFields) -> Tensor:
    """Which fields of which rows are known, bool (N, F); fields in token order: numeric, categorical, checkbox."""
    categorical_Nc = fields["categorical"]
    known_Nc = (categorical_Nc != MISSING) & (categorical_Nc != UNSEEN)
    return torch.cat([~fields["numeric"].isnan(), known_Nc, fields["checkbox_known"]], dim=1)


def hide_fields(fields: TensorFields, share: float) -> tuple[TensorFields, Tensor]:
    """Hide each known field of each row with probability `share`, drawn from torch's global generator.

    Returns:
        The fields with the hidden ones missing, and which were hidden, bool (N, F).
    """
    known_NF = known_fields(fields)
    hidden_NF = known_NF & (torch.rand(known_NF.shape, device=known_NF.device) < share)
    sizes = [fields["numeric"].shape[1], fields["categorical"].shape[1], fields["checkbox_known"].shape[1]]
    numeric, categorical, boxes = hidden_NF.split(sizes, dim=1)
    left = {
        "numeric": fields["numeric"].masked_fill(numeric, float("nan")),
        "categorical": fields["categorical"].masked_fill(categorical, MISSING),
        "checkbox": fields["checkbox"],
        "checkbox_known": fields["checkbox_known"] & ~boxes,
    }
    return left, hidden_NF


class MetadataEncoder(nn.Module):
    """Encoder of one level's fields, after TRACE: (N rows) -> (N, D).

    Post-norm transformer layers with GELU and no dropout, then the mean of the known tokens, weighted as the
    cohort says. A row of which nothing is known gives a learnt vector of its own. That unknown fields are masked,
    rather than given a token that is averaged in, and that fields have weights, is our choice.

    Source:
        TRACE, arXiv:2411.08701 (dim 128, 1 layer, 2 heads, FFN x 4).
    """

    weight_F: Tensor

    def __init__(self, level: LevelEncoding, settings: MetadataEncoderParams) -> None:
        super().__init__()
        self.tokenizer = FieldTokenizer(level, settings.dim)
        layer = nn.TransformerEncoderLayer(
            settings.dim,
            settings.num_heads,
            settings.dim * settings.ffn_ratio,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=False,
        )
        self.layers = nn.TransformerEncoder(layer, settings.depth, enable_nested_tensor=False)
        self.nothing_known = nn.Parameter(torch.randn(settings.dim) * 0.02)
        # As shares of the largest one: where all are equal, each is exactly 1.
        weights = [weight / max(level.weights) for weight in level.weights]
        self.register_buffer("weight_F", torch.tensor(weights, dtype=torch.float32), persistent=False)

    def forward(self, fields: TensorFields) -> Tensor:
        """Encode rows of encoded fields: (N, D)."""
        tokens_NFD, known_NF = self.tokenizer(fields)
        if tokens_NFD.shape[1] == 0:  # a level without fields: nothing is ever known
            return self.nothing_known.expand(len(tokens_NFD), -1)
        some_N1 = known_NF.any(dim=1, keepdim=True)
        # A row that is masked throughout would make attention divide zero by zero.
        masked_NF = ~(known_NF | ~some_N1)
        mixed_NFD = self.layers(tokens_NFD, src_key_padding_mask=masked_NF) if self.layers.num_layers else tokens_NFD
        weight_NF1 = (known_NF * self.weight_F).unsqueeze(-1).to(mixed_NFD.dtype)
        mean_ND = (mixed_NFD * weight_NF1).sum(1) / weight_NF1.sum(1).clamp_min(_NO_WEIGHT)
        return torch.where(some_N1, mean_ND, self.nothing_known.to(mean_ND.dtype))
