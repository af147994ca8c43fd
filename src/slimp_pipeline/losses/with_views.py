"""Views of the same image beside what an objective contrasts with metadata."""

from torch import Tensor

from slimp_pipeline.losses.objective import Contrast, Dims, Objective, Representations
from slimp_pipeline.losses.simclr import SimCLR
from slimp_pipeline.parameters import LossParams

_VIEWS = "views"


class WithViews(Objective):
    """L = L_objective + `settings.views_weight` * L_views; the objective sees the first of two views.

    Args:
        objective: One that contrasts images with metadata.
        settings: Weight and temperature.
        dims: Widths of the representations.

    Source:
        Mu et al. 2021, arXiv:2112.12750 (SLIP): image views beside image and text. That it goes with the nested
        objective is our choice.
    """

    num_views = SimCLR.num_views

    def __init__(self, objective: Objective, settings: LossParams, dims: Dims) -> None:
        super().__init__()
        self.objective, self.views = objective, SimCLR(settings, dims)
        self._weight = settings.views_weight

    def contrasts(self, batch: Representations) -> dict[str, Contrast]:
        """Those of the objective, and `views`."""
        return self.objective.contrasts(batch) | self.views.contrasts(batch)

    def losses(self, contrasts: dict[str, Contrast]) -> dict[str, Tensor]:
        """As the objective's, with `loss_views`; a contrast whose rows are all alike hands no weight to the views."""
        own = {name: contrast for name, contrast in contrasts.items() if name != _VIEWS}
        losses, views = self.objective.losses(own), self.views.term(contrasts[_VIEWS])
        return losses | {"loss": losses["loss"] + self._weight * views, "loss_views": views}
