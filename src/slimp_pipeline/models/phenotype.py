"""Phenotype: a patient's lesions pooled into one vector, however many they are."""

import torch
from torch import Tensor, nn

from slimp_pipeline.parameters import Pooling

_ATTENTION_DIM, _NUM_HEADS = 128, 4


def build_pooling(name: Pooling, dim: int) -> nn.Module:
    """Build a pooling: (B, dim) rows, int64 (B,) patient of each row, P -> (P, `out_dim`).

    Rows are float; patients are numbered 0..P-1 and each has at least one row. The order of a patient's rows
    doesn't matter, and patients don't influence one another. The result is float32 also for rows of half
    precision: their sums would lose lesions.
    """
    return {
        "mean": MeanPooling,
        "max": MaxPooling,
        "gated_attention": GatedAttentionPooling,
        "set_transformer": SetTransformerPooling,
    }[name](dim)


class MeanPooling(nn.Module):
    """Mean over a patient's lesions.

    Source:
        SLIMP, arXiv:2505.23709.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim

    def forward(self, lesions_BD: Tensor, patient_B: Tensor, num_patients: int) -> Tensor:
        """Pool; see `build_pooling`."""
        return mean_of(lesions_BD, patient_B, num_patients)


class MaxPooling(nn.Module):
    """Largest value of each dimension over a patient's lesions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim

    def forward(self, lesions_BD: Tensor, patient_B: Tensor, num_patients: int) -> Tensor:
        """Pool; see `build_pooling`."""
        lesions_BD = _float(lesions_BD)
        start_PD = lesions_BD.new_zeros(num_patients, lesions_BD.shape[1])
        index_BD = patient_B.unsqueeze(1).expand_as(lesions_BD)
        return start_PD.scatter_reduce(0, index_BD, lesions_BD, "amax", include_self=False)


class GatedAttentionPooling(nn.Module):
    """Weighted mean; the weights come from gated attention over a patient's lesions.

    A mean drowns one malignant lesion among hundreds of benign ones; attention can single it out.

    Source:
        Ilse et al. 2018, arXiv:1802.04712, equation 9.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = dim
        self.norm = nn.LayerNorm(dim)
        self.value, self.gate = nn.Linear(dim, _ATTENTION_DIM), nn.Linear(dim, _ATTENTION_DIM)
        self.score = nn.Linear(_ATTENTION_DIM, 1, bias=False)

    def forward(self, lesions_BD: Tensor, patient_B: Tensor, num_patients: int) -> Tensor:
        """Pool; see `build_pooling`."""
        lesions_BD = _float(lesions_BD)
        weight_B1 = self.attention(lesions_BD, patient_B, num_patients).unsqueeze(1)
        return _sum(weight_B1 * lesions_BD, patient_B, num_patients)

    def attention(self, lesions_BD: Tensor, patient_B: Tensor, num_patients: int) -> Tensor:
        """Weights of the rows, (B,); each patient's sum to 1."""
        hidden_BD = self.norm(lesions_BD)
        gated_BA = torch.tanh(self.value(hidden_BD)) * torch.sigmoid(self.gate(hidden_BD))
        score_B = self.score(gated_BA).squeeze(1).float()
        highest_P = score_B.new_zeros(num_patients).scatter_reduce(
            0, patient_B, score_B.detach(), "amax", include_self=False
        )
        exp_B = (score_B - highest_P[patient_B]).exp()
        sum_P = exp_B.new_zeros(num_patients).index_add(0, patient_B, exp_B)
        return exp_B / sum_P[patient_B]


class SetTransformerPooling(nn.Module):
    """A patient's lesions attend to one another, then a learnt query attends to them.

    Source:
        Lee et al. 2019, arXiv:1810.00825: one self-attention block and pooling by multi-head attention, one seed.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.out_dim = _ATTENTION_DIM
        self.embed = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, _ATTENTION_DIM))
        self.self_attention = nn.TransformerEncoderLayer(
            _ATTENTION_DIM, _NUM_HEADS, 2 * _ATTENTION_DIM, dropout=0.0, activation="gelu", batch_first=True
        )
        self.seed = nn.Parameter(torch.randn(1, 1, _ATTENTION_DIM) * 0.02)
        self.pool = nn.MultiheadAttention(_ATTENTION_DIM, _NUM_HEADS, batch_first=True)

    def forward(self, lesions_BD: Tensor, patient_B: Tensor, num_patients: int) -> Tensor:
        """Pool; see `build_pooling`."""
        hidden_BA = self.embed(_float(lesions_BD))
        counts_P = _counts(patient_B, num_patients)
        order_B = torch.argsort(patient_B, stable=True)
        place_B = (
            torch.arange(len(order_B), device=patient_B.device) - (counts_P.cumsum(0) - counts_P)[patient_B[order_B]]
        )
        longest = int(counts_P.max())
        padded_PLA = hidden_BA.new_zeros(num_patients, longest, hidden_BA.shape[1])
        padded_PLA = padded_PLA.index_put((patient_B[order_B], place_B), hidden_BA[order_B])
        absent_PL = torch.arange(longest, device=counts_P.device) >= counts_P.unsqueeze(1)
        mixed_PLA = self.self_attention(padded_PLA, src_key_padding_mask=absent_PL)
        seed_P1A = self.seed.expand(num_patients, -1, -1)
        pooled_P1A, _ = self.pool(seed_P1A, mixed_PLA, mixed_PLA, key_padding_mask=absent_PL, need_weights=False)
        return pooled_P1A.squeeze(1).float()


def mean_of(rows_BD: Tensor, owner_B: Tensor, num_owners: int) -> Tensor:
    """Mean over each owner's rows, a patient's lesions or a lesion's pictures; see `build_pooling`."""
    return _sum(_float(rows_BD), owner_B, num_owners) / _counts(owner_B, num_owners).clamp_min(1).unsqueeze(1)


def together(look_BI: Tensor, metadata_BM: Tensor) -> Tensor:
    """What rows look like beside their embedded metadata: (B, I + M)."""
    return torch.cat([look_BI, metadata_BM.to(look_BI.dtype)], dim=1)


def _counts(patient_B: Tensor, num_patients: int) -> Tensor:
    """Rows of each patient, int64 (P,); `torch.bincount` would wait for a GPU to know its result's size."""
    return patient_B.new_zeros(num_patients).index_add(0, patient_B, torch.ones_like(patient_B))


def _float(rows: Tensor) -> Tensor:
    return rows.to(torch.promote_types(rows.dtype, torch.float32))


def _sum(rows_BD: Tensor, patient_B: Tensor, num_patients: int) -> Tensor:
    return rows_BD.new_zeros(num_patients, rows_BD.shape[1]).index_add(0, patient_B, rows_BD)
