"""The nested loss of SLIMP: lesions inside patients."""

from slimp_pipeline.losses.inner_only import InnerOnly
from slimp_pipeline.losses.objective import Contrast, Dims, Objective, Representations
from slimp_pipeline.losses.outer_only import OuterOnly
from slimp_pipeline.parameters import LossParams


class Nested(Objective):
    """L = lambda * L_lesion + (1 - lambda) * L_patient, lambda = `settings.lesion_weight`.

    Args:
        settings: Weight and temperatures.
        dims: Widths of the representations.
        multi_positive: Whether rows with equal metadata are positives of each other (ours) or negatives
            (the paper's plain form).

    Source:
        SLIMP, arXiv:2505.23709, nested objective.
    """

    def __init__(self, settings: LossParams, dims: Dims, *, multi_positive: bool) -> None:
        super().__init__()
        self.multi_positive = multi_positive
        self.weights = {"lesion": settings.lesion_weight, "patient": 1 - settings.lesion_weight}
        self.inner, self.outer = InnerOnly(settings, dims), OuterOnly(settings, dims)

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """`lesion` and `patient`, as the single levels have them."""
        return self.inner.contrasts(batch) | self.outer.contrasts(batch)
