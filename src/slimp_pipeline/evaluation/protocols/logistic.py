"""Logistic regressions on the same rows, many at once.

All of a probe's inner folds and strengths are one batch: their products with the features are one matrix product.
"""

from dataclasses import astuple, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_MAX_STEPS = 300
_ROWS_AT_ONCE = 2**14
_MAX_LOGITS = 2**23  # numbers held at once, several times over
_NEVER = -1e4  # logit of a class without a row: its probability is 0
_TINY = 1e-30
_MAX_STRETCH = 4.0  # the second of a line's two steps goes at most so many times as far as the first


@dataclass(frozen=True)
class LinearModels:
    """B linear models of K classes on the same D features.

    Attributes:
        weight_BDK: float32.
        intercept_BK: float32.
    """

    weight_BDK: Tensor
    intercept_BK: Tensor

    def __len__(self) -> int:
        return len(self.weight_BDK)

    def take(self, chosen: slice) -> "LinearModels":
        """Some of the models."""
        return LinearModels(self.weight_BDK[chosen], self.intercept_BK[chosen])

    def of_unscaled(
        self, columns: np.ndarray, mean_D: np.ndarray, factor_D: np.ndarray, num_columns: int
    ) -> "LinearModels":
        """The same models of features before their columns were chosen, their mean taken off and they multiplied."""
        mean, factor = (torch.tensor(values, dtype=torch.float32).to(self.weight_BDK) for values in (mean_D, factor_D))
        own_BDK = self.weight_BDK * factor[:, None]
        weight_BDK = own_BDK.new_zeros(len(own_BDK), num_columns, own_BDK.shape[2])
        weight_BDK[:, torch.from_numpy(columns).to(own_BDK.device)] = own_BDK
        return LinearModels(weight_BDK, self.intercept_BK - torch.einsum("d,bdk->bk", mean, own_BDK))

    def probabilities(self, feature_ND: Tensor) -> Tensor:
        """Probabilities of each class by each model, float32 (B, N, K)."""
        logit_BKN = self.weight_BDK.mT @ feature_ND.T + self.intercept_BK[:, :, None]
        return torch.softmax(logit_BKN, dim=1).mT  # over the last dimension it takes ten times as long


def fit_logistic(
    feature_ND: Tensor,
    label_N: Tensor,
    weight_BN: Tensor,
    strength_B: Tensor,
    num_classes: int,
    tolerance: float = 2e-4,
) -> LinearModels:
    """Minimise, for each b, sum_n weight_bn * cross_entropy(label_n | feature_n) + |weights_b|^2 / (2 strength_b).

    Intercepts aren't penalised. Two classes share one vector of weights, more have one each, as in scikit-learn.
    A class without a row that counts gets probability 0.

    Conjugate gradients, in coordinates in which the Hessian at the start is nearly the identity: the features'
    principal axes, each divided by the root of its curvature. At the default tolerance, probabilities are within 0.005
    of the optimum's; within 0.03 where the penalty is so weak that the classes are parted nearly perfectly.

    Args:
        feature_ND: float32.
        label_N: int64, 0..K-1.
        weight_BN: How much each row counts in each fit, float32, at least 0; rows of two classes at least do.
        strength_B: Inverse L2 penalties, float32, above 0.
        num_classes: K, at least 2.
        tolerance: Norm of the gradient at which a fit ends, relative to its norm where all weights are 0.

    Source:
        Nocedal and Wright 2006, Numerical Optimization, chapter 5 (Polak-Ribiere, restarted).
    """
    rows = _Rows.along_principal_axes(feature_ND, label_N, weight_BN.mean(dim=0), num_classes)
    size = max(1, _MAX_LOGITS // (len(feature_ND) * num_classes))
    parts = zip(weight_BN.split(size), strength_B.split(size), strict=True)
    models = [rows.linear_models(_solve(_Fits.of(rows, *part), tolerance)) for part in parts]
    return LinearModels(*(torch.cat(values) for values in zip(*map(astuple, models), strict=True)))


@dataclass(frozen=True)
class _Rows:
    """Rows in other coordinates: along their principal axes, from their weighted mean, and a last one that is 1.

    Attributes:
        value_NR: The rows.
        variance_R: Weighted mean of each coordinate's square.
        axis_DR: What leads back, but for the last coordinate.
        mean_D: Where the axes meet.
        target_KN: 1 for a row's class; of two classes the second alone.
    """

    value_NR: Tensor
    variance_R: Tensor
    axis_DR: Tensor
    mean_D: Tensor
    target_KN: Tensor

    @classmethod
    def along_principal_axes(cls, feature_ND: Tensor, label_N: Tensor, weight_N: Tensor, num_classes: int) -> "_Rows":
        """A linear model with an L2 penalty sees the span of its rows alone, and no rotation: this is exact."""
        share_N = weight_N / weight_N.sum()
        mean_D = share_N @ feature_ND
        if len(feature_ND) < len(mean_D):
            _, singular_R, axis_RD = torch.linalg.svd(
                (feature_ND - mean_D) * share_N.sqrt()[:, None], full_matrices=False
            )
            variance_R, axis_DR = singular_R.square(), axis_RD.T
        else:
            second_DD = -torch.outer(mean_D, mean_D)
            for part_ND, share_n in zip(feature_ND.split(_ROWS_AT_ONCE), share_N.split(_ROWS_AT_ONCE), strict=True):
                second_DD.addmm_((part_ND * share_n[:, None]).T, part_ND)
            variance_R, axis_DR = torch.linalg.eigh(second_DD)
        value_NR = feature_ND.new_ones(len(feature_ND), axis_DR.shape[1] + 1)
        torch.addmm(-(mean_D @ axis_DR), feature_ND, axis_DR, out=value_NR[:, :-1])
        one_hot_KN = F.one_hot(label_N, num_classes).T.float().contiguous()
        return cls(
            value_NR,
            F.pad(variance_R.clamp(min=0), (0, 1), value=1.0),
            axis_DR,
            mean_D,
            one_hot_KN[1:] if num_classes == 2 else one_hot_KN,
        )

    def linear_models(self, solution_KBR: Tensor) -> LinearModels:
        """Models of the features as they were."""
        weight_KBD = solution_KBR[:, :, :-1] @ self.axis_DR.T
        intercept_BK = (solution_KBR[:, :, -1] - weight_KBD @ self.mean_D).T
        weight_BDK = weight_KBD.permute(1, 2, 0)
        if weight_BDK.shape[2] == 1:  # of two classes: the logit of the first is 0
            return LinearModels(F.pad(weight_BDK, (1, 0)), F.pad(intercept_BK, (1, 0)))
        return LinearModels(weight_BDK.contiguous(), intercept_BK.contiguous())


@dataclass(frozen=True)
class _Fits:
    """B fits on the same rows. Points are float (K, B, R): a coordinate times `scale_BR` is a weight.

    Classes come first: a softmax over the last dimension, of a handful, would take ten times as long.

    Attributes:
        rows: What they are fitted to.
        weight_BN: How much a row counts.
        scale_BR: Makes the Hessian at the start nearly the identity.
        penalty_BR: What the L2 penalty becomes in these coordinates.
        never_KB: Added to the logits.
    """

    rows: _Rows
    weight_BN: Tensor
    scale_BR: Tensor
    penalty_BR: Tensor
    never_KB: Tensor

    @classmethod
    def of(cls, rows: _Rows, weight_BN: Tensor, strength_B: Tensor) -> "_Fits":
        is_binary = len(rows.target_KN) == 1
        size_KB = rows.target_KN @ weight_BN.T
        never_KB = torch.zeros_like(size_KB) if is_binary else (size_KB == 0) * _NEVER
        num_classes = 2 if is_binary else len(rows.target_KN)
        # The second derivative by a logit, where all classes have the same chance.
        bend_B = (1 - 1 / num_classes) / num_classes * weight_BN.sum(dim=1)
        penalty_BR = (1 / strength_B)[:, None].repeat(1, len(rows.variance_R))
        penalty_BR[:, -1] = 0  # of the intercept
        curvature_BR = bend_B[:, None] * rows.variance_R + penalty_BR
        return cls(rows, weight_BN, curvature_BR.rsqrt(), penalty_BR / curvature_BR, never_KB)

    def take(self, chosen_B: Tensor) -> "_Fits":
        """Some of the fits."""
        return _Fits(
            self.rows,
            self.weight_BN[chosen_B],
            self.scale_BR[chosen_B],
            self.penalty_BR[chosen_B],
            self.never_KB[:, chosen_B],
        )

    def logits(self, point_KBR: Tensor) -> Tensor:
        """Logits of all rows, (K, B, N)."""
        weight_KBR = self.scale_BR * point_KBR
        return (weight_KBR.flatten(0, 1) @ self.rows.value_NR.T).view(*weight_KBR.shape[:2], -1)

    def place(self, point_KBR: Tensor, logit_KBN: Tensor) -> "_Place":
        """A point with what its logits come to."""
        return _Place(point_KBR, logit_KBN, self.chances(logit_KBN))

    def chances(self, logit_KBN: Tensor) -> Tensor:
        """Probabilities, (K, B, N)."""
        if len(logit_KBN) == 1:
            return torch.sigmoid(logit_KBN)
        return torch.softmax(logit_KBN + self.never_KB[:, :, None], dim=0)

    def slopes(self, chance_KBN: Tensor) -> Tensor:
        """Derivative of the loss by the logits, (K, B, N)."""
        return (chance_KBN - self.rows.target_KN[:, None]) * self.weight_BN

    def gradient(self, place: "_Place") -> Tensor:
        """Derivative by the point, (K, B, R)."""
        by_weight_XR = self.slopes(place.chance).flatten(0, 1) @ self.rows.value_NR
        return self.scale_BR * by_weight_XR.view(place.point.shape) + self.penalty_BR * place.point

    def curvature(self, chance_KBN: Tensor, along_KBN: Tensor) -> Tensor:
        """Second derivative of the loss where the logits move as `along_KBN`, (B,)."""
        mean_BN = (chance_KBN * along_KBN).sum(dim=0)
        if len(along_KBN) == 1:
            bend_BN = mean_BN * (along_KBN[0] - mean_BN)
        else:
            bend_BN = (chance_KBN * (along_KBN - mean_BN).square()).sum(dim=0)
        return (bend_BN * self.weight_BN).sum(dim=1)


@dataclass(frozen=True)
class _Place:
    """Where fits have come to: points (K, B, R), and the logits and probabilities there, (K, B, N)."""

    point: Tensor
    logit: Tensor
    chance: Tensor

    def take(self, chosen_B: Tensor) -> "_Place":
        return _Place(self.point[:, chosen_B], self.logit[:, chosen_B], self.chance[:, chosen_B])


def _solve(fits: _Fits, tolerance: float) -> Tensor:
    """Weights in the rows' coordinates, (K, B, R), by conjugate gradients; fits that have ended are left out."""
    everything, number_B = fits, torch.arange(fits.never_KB.shape[1], device=fits.never_KB.device)
    point = fits.scale_BR.new_zeros(len(fits.never_KB), *fits.scale_BR.shape)
    solution = point.clone()
    place = fits.place(point, fits.logits(point))
    gradient = fits.gradient(place)
    limit_B = tolerance * _dot(gradient, gradient).sqrt()
    direction = -gradient
    for _ in range(_MAX_STEPS):
        on_B = _dot(gradient, gradient).sqrt() > limit_B
        if not on_B.all():
            solution[:, number_B[~on_B]] = place.point[:, ~on_B]
            number_B, limit_B, place, fits = number_B[on_B], limit_B[on_B], place.take(on_B), fits.take(on_B)
            gradient, direction = gradient[:, on_B], direction[:, on_B]
        if not len(number_B):
            break
        place = _go(fits, place, direction, _dot(gradient, direction))
        before, gradient = gradient, fits.gradient(place)
        turn_B = (_dot(gradient, gradient - before) / _dot(before, before)).clamp(min=0)
        direction = turn_B[:, None] * direction - gradient
        uphill_B = _dot(direction, gradient) >= 0
        direction = torch.where(uphill_B[:, None], -gradient, direction)
    solution[:, number_B] = place.point
    solution *= everything.scale_BR
    solution[:, :, -1] += everything.never_KB
    return solution


def _go(fits: _Fits, place: _Place, direction: Tensor, slope_B: Tensor) -> _Place:
    """Go along a direction to about the lowest point, by two of Newton's steps."""
    along_KBN = fits.logits(direction)
    pull_B = _dot(fits.penalty_BR * direction, direction)
    first_B = -slope_B / (fits.curvature(place.chance, along_KBN) + pull_B).clamp(min=_TINY)
    chance = fits.chances(place.logit + first_B[:, None] * along_KBN)
    there_B = _dot(fits.slopes(chance), along_KBN)
    there_B += _dot(fits.penalty_BR * place.point, direction) + first_B * pull_B
    second_B = first_B - there_B / (fits.curvature(chance, along_KBN) + pull_B).clamp(min=_TINY)
    # The slope rises along the line, from below 0: where it is above 0 at the first step, the lowest point lies before.
    between_B = torch.where((second_B > 0) & (second_B < first_B), second_B, first_B * slope_B / (slope_B - there_B))
    step_B = torch.where(there_B > 0, between_B, torch.minimum(second_B, _MAX_STRETCH * first_B))
    point = place.point + step_B[:, None] * direction
    return fits.place(point, place.logit + step_B[:, None] * along_KBN)


def _dot(left_KBX: Tensor, right_KBX: Tensor) -> Tensor:
    """By fit, (B,)."""
    return (left_KBX * right_KBX).sum(dim=(0, 2))
