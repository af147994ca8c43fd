"""Fabricated cohorts with a known causal structure, in the layouts of two public ones."""

from collections.abc import Callable

from slimp_pipeline.cohorts.fabricated.clinic import fabricate_clinic
from slimp_pipeline.cohorts.fabricated.tbp import fabricate_tbp, tbp_truth

FABRICATORS: dict[str, Callable[..., None]] = {"tbp": fabricate_tbp, "clinic": fabricate_clinic}

__all__ = ["FABRICATORS", "fabricate_clinic", "fabricate_tbp", "tbp_truth"]
