"""The nested loss of SLIMP: lesions inside patients, and with three levels pictures inside lesions."""

from slimp_pipeline.losses.inner_only import InnerOnly
from slimp_pipeline.losses.middle import Middle
from slimp_pipeline.losses.objective import Contrast, Dims, Objective, Representations
from slimp_pipeline.losses.outer_only import OuterOnly
from slimp_pipeline.parameters import LossParams


class Nested(Objective):
    """L = lambda * L_lesion + (1 - lambda) * L_patient, lambda = `settings.lesion_weight`.

    With three levels mu * L_image + (1 - mu) * L, mu = `settings.image_weight`: our choice.

    Args:
        settings: Weights and temperatures.
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
        self.middle = None
        if dims.pictures:
            self.middle = Middle(settings, dims)
            of_others = {name: (1 - settings.image_weight) * weight for name, weight in self.weights.items()}
            self.weights = {"image": settings.image_weight, **of_others}

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """Those of its levels: `lesion` and `patient`, with three levels `image` before them."""
        lesions = self.middle.contrasts(batch) if self.middle else {}
        return self.inner.contrasts(batch) | lesions | self.outer.contrasts(batch)
