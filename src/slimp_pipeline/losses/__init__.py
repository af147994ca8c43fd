"""Objectives of pre-training, one per file."""

from slimp_pipeline.losses.flat import Flat
from slimp_pipeline.losses.inner_only import InnerOnly
from slimp_pipeline.losses.nested import Nested
from slimp_pipeline.losses.objective import Dims, Objective
from slimp_pipeline.losses.outer_only import OuterOnly
from slimp_pipeline.losses.simclr import SimCLR
from slimp_pipeline.losses.with_views import WithViews
from slimp_pipeline.parameters import LossParams


def build_objective(settings: LossParams, dims: Dims) -> Objective:
    """Build the objective that the settings name, with new heads, and image views beside it if asked for."""
    objective = _named(settings, dims)
    return WithViews(objective, settings, dims) if settings.views_weight else objective


def _named(settings: LossParams, dims: Dims) -> Objective:
    match settings.objective:
        case "slimp":
            return Nested(settings, dims, multi_positive=True)
        case "slimp_paper":
            return Nested(settings, dims, multi_positive=False)
        case "flat":
            return Flat(settings, dims)
        case "inner_only":
            return InnerOnly(settings, dims)
        case "outer_only":
            return OuterOnly(settings, dims)
        case "simclr":
            return SimCLR(settings, dims)
