"""What an objective is: contrasts between representations of a batch, each a term of the loss."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slimp_pipeline.losses.info_nce import info_nce
from slimp_pipeline.parameters import LossParams


@dataclass(frozen=True)
class Pictures:
    """The image level of a batch that has three: B pictures of its K lesions.

    Attributes:
        fields_BM: Embedded metadata of pictures.
        groups_B: int64; pictures with the same number have the same metadata.
        lesion_of_image_B: int64, row of each picture's lesion.
        pooled_KX: Each lesion's pictures, image (first view) and metadata, pooled.
    """

    fields_BM: Tensor
    groups_B: Tensor
    lesion_of_image_B: Tensor
    pooled_KX: Tensor


@dataclass(frozen=True)
class Representations:
    """What the encoders make of a batch: B images, in V views each, of K lesions of P patients.

    With two levels each image is a lesion of its own, and K = B.

    Attributes:
        image_VBI: Image embeddings, view by view.
        lesion_KM: Embedded lesion metadata.
        patient_PM: Embedded patient metadata.
        phenotype_PX: Each patient's lesions, what they look like (first view) and metadata, pooled.
        patient_of_lesion_K: int64, row of each lesion's patient.
        lesion_groups_K: int64; lesions with the same number have the same metadata.
        patient_groups_P: int64; likewise for patients.
        pictures: The image level; None with two levels.
    """

    image_VBI: Tensor
    lesion_KM: Tensor
    patient_PM: Tensor
    phenotype_PX: Tensor
    patient_of_lesion_K: Tensor
    lesion_groups_K: Tensor
    patient_groups_P: Tensor
    pictures: Pictures | None = None

    @property
    def look_KX(self) -> Tensor:
        """What each lesion looks like: its image's embedding (first view), or its pictures pooled."""
        return self.pictures.pooled_KX if self.pictures else self.image_VBI[0]


@dataclass(frozen=True)
class Dims:
    """Widths of the representations, and of their projections.

    Attributes:
        pictures: Of a lesion's pooled pictures; None with two levels.
    """

    image: int
    metadata: int
    phenotype: int
    projection: int
    pictures: int | None = None

    @property
    def look(self) -> int:
        """Width of what a lesion looks like."""
        return self.pictures or self.image


@dataclass(frozen=True)
class Contrast:
    """Two projections of the same N rows, which should meet; rows of one group are equally right partners.

    Groups are numbered within the batch: the same number in another means nothing.
    """

    left_ND: Tensor
    right_ND: Tensor
    groups_N: Tensor
    temperature: Tensor  # shape ()


class Temperature(nn.Module):
    """A learnable softmax temperature with a minimum."""

    def __init__(self, settings: LossParams) -> None:
        super().__init__()
        self._min_log = math.log(settings.min_temperature)
        self.log = nn.Parameter(torch.tensor(settings.temperature).log())
        self.clamp()

    def forward(self) -> Tensor:
        """Return the temperature, shape ()."""
        return self.log.exp()

    @torch.no_grad()
    def clamp(self) -> None:
        """Hold it at its minimum; called after every step.

        Clamped in `forward` instead, one that fell below would get no gradient, and never rise again.
        """
        self.log.clamp_(min=self._min_log)


class ContrastiveHead(nn.Module):
    """Projections of two sides, and a temperature of their own."""

    def __init__(self, left_dim: int, right_dim: int, projection_dim: int, settings: LossParams) -> None:
        super().__init__()
        self.left = projection(left_dim, projection_dim)
        self.right = projection(right_dim, projection_dim)
        self.temperature = Temperature(settings)

    def forward(self, left_NX: Tensor, right_NY: Tensor, groups_N: Tensor) -> Contrast:
        """Project both sides of N rows."""
        return Contrast(self.left(left_NX), self.right(right_NY), groups_N, self.temperature())


class Objective(nn.Module):
    """Contrasts of a batch and their weighted loss. A subclass says which contrasts, with heads of its own.

    Attributes:
        num_views: Augmented views of each lesion that it needs.
        multi_positive: Whether rows of the anchor's group are positives; else they are negatives.
        weights: Weight of each contrast's term in the loss.
    """

    num_views = 1
    multi_positive = True
    weights: dict[str, float]

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """Project what is to be compared, by the name of its term."""
        raise NotImplementedError

    def term(self, contrast: Contrast) -> Tensor:
        """Loss of one contrast in nats, shape ()."""
        groups_N = contrast.groups_N if self.multi_positive else None
        return info_nce(contrast.left_ND, contrast.right_ND, temperature=contrast.temperature, groups_B=groups_N)

    def losses(self, contrasts: dict[str, Contrast]) -> dict[str, Tensor]:
        """Return `loss`, the weighted sum, and each term as `loss_<name>`; nats, shape ().

        A contrast whose rows all have the same metadata tells nothing, and would pull all images together: the
        others take over its weight.
        """
        terms = {name: self.term(contrast) for name, contrast in contrasts.items()}
        term_T = torch.stack(list(terms.values()))
        weight_T = torch.stack([torch.full((), self.weights[name], device=term_T.device) for name in terms])
        groups = [contrast.groups_N for contrast in contrasts.values()]
        telling_T = torch.stack([(groups_N != groups_N[0]).any() for groups_N in groups]) * weight_T
        weight_T = telling_T * (weight_T.sum() / telling_T.sum().clamp(min=1e-12))
        return {"loss": (weight_T * term_T).sum()} | {f"loss_{name}": term for name, term in terms.items()}

    def clamp_temperatures(self) -> None:
        """Hold all temperatures at their minimum; called after every step."""
        for module in self.modules():
            if isinstance(module, Temperature):
                module.clamp()


def projection(dim_in: int, dim_out: int) -> nn.Sequential:
    """Projection head: normalised input, one hidden layer (our choice)."""
    return nn.Sequential(nn.LayerNorm(dim_in), nn.Linear(dim_in, dim_out), nn.GELU(), nn.Linear(dim_out, dim_out))
