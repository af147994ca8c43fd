"""The image encoder compiled in place, where that can be done."""

import logging

import torch
from torch import Tensor, nn

from slimp_pipeline.models.passes import encode_in_passes, statistics_kept
from slimp_pipeline.models.ranks import Ranks
from slimp_pipeline.parameters import TrainingParams

logger = logging.getLogger(__name__)


def is_compiled(settings: TrainingParams, device: torch.device) -> bool:
    """Whether the image encoder shall be compiled."""
    return device.type == "cuda" if settings.compile == "auto" else settings.compile


def compile_encoder(encoder: nn.Module, views: Tensor, settings: TrainingParams, ranks: Ranks) -> None:
    """Compile an encoder in place, or leave it as it is and say why; its weights keep names and values.

    What can't be compiled shows when it runs, forward and backward: it is tried once, on the first batch, before that
    is trained on. Where one of several processes can't, none does.

    Args:
        encoder: In training mode; called under autocast or not, as it will be later.
        views: Of the first batch.
        settings: How many images go through it at once.
        ranks: Processes that train together.
    """
    logger.info("Compiling the image encoder (training.compile), which takes up to some minutes")
    encoder.compile()
    reason = _why_not(encoder, views, settings.images_per_pass)
    if ranks.sum(torch.tensor(int(reason is not None), device=views.device)):
        encoder._compiled_call_impl = None  # what `compile` set: torch has no way back
        logger.warning(
            "The image encoder isn't compiled, and trains as it is, more slowly: %s. Set training.compile to false to "
            "do without, or install what is missing.",
            reason or "another of the processes can't",
        )


def _why_not(encoder: nn.Module, views: Tensor, images_per_pass: int | None) -> str | None:
    """Go forward and backward once and leave no trace; returns what went wrong, if anything did."""
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    try:
        with statistics_kept(encoder):
            embedding_ND = encode_in_passes(encoder, views, images_per_pass)
            if trained:
                torch.autograd.grad(embedding_ND, trained, torch.zeros_like(embedding_ND), allow_unused=True)
    except torch.cuda.OutOfMemoryError:  # so it would be later
        raise
    except Exception as error:  # whatever compilers raise
        cause = getattr(error, "inner_exception", error)
        return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"
    return None
