"""LoRA: low-rank updates of frozen layers, merged into plain weights afterwards."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRankUpdate(nn.Module):
    """weight + B A, with A and B of low rank; B starts at zero, so that training starts from the weight.

    Source:
        Hu et al. 2021, arXiv:2106.09685.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        dim_out, dim_in = len(weight), weight[0].numel()
        rank = min(rank, dim_out, dim_in)
        self.down = nn.Parameter(torch.randn(rank, dim_in) * dim_in**-0.5)
        self.up = nn.Parameter(torch.zeros(dim_out, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the updated weight, of the same shape."""
        return weight + (self.up @ self.down).view_as(weight)


def add_lora(encoder: nn.Module, rank: int) -> None:
    """Give every linear and every ungrouped convolution layer a trainable low-rank update; nothing else trains."""
    encoder.requires_grad_(False)
    for module in list(encoder.modules()):
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1):
            _update(module, LowRankUpdate(module.weight, rank))


def _update(layer: nn.Module, update: LowRankUpdate) -> None:
    parametrize.register_parametrization(layer, "weight", update)
    type(layer).__reduce_ex__ = _parts  # type: ignore[method-assign, assignment]  # of this layer alone: its class is new


def _parts(layer: nn.Module, _: object) -> tuple[Any, ...]:
    """What an updated layer is made of: torch refuses to send one to another process as it stands."""
    state = {name: value for name, value in vars(layer).items() if name != "_modules"}  # which hold the update alone
    update: Any = layer.get_submodule("parametrizations.weight")
    return _put_together, (parametrize.type_before_parametrizations(layer), state, update.original, update[0])


def _put_together(plain: type[nn.Module], state: dict[str, Any], weight: nn.Parameter, update: LowRankUpdate) -> Any:
    layer = plain.__new__(plain)
    layer.__dict__.update(state, _modules={})
    layer.register_parameter("weight", weight)
    _update(layer, update)
    return layer


def merge_lora(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Merge low-rank updates into plain weights.

    Args:
        model: The model that was trained, with updates or without; changed in place.
        state: Its trained weights.

    Returns:
        The state of the model as if it had never had updates.
    """
    model.load_state_dict(state)
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
