"""Image embeddings of batches of any size, in the memory that a part of them takes."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch._dynamo import maybe_mark_dynamic
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def encode_in_passes(encoder: nn.Module, views: Tensor, images_per_pass: int | None) -> Tensor:
    """Encode images, at most so many at once: (N, 3, H, H) -> (N, D).

    Only its embeddings are kept of a pass. `backward` takes the passes once more, one by one and with the same
    dropout, and goes back through each with the gradient of its embeddings: memory is that of one pass, time about
    that of a second forward pass.

    Batch norm in training mode goes by the statistics of a pass, as it would go by a device's where there are several;
    its running statistics take each image up once.

    Args:
        encoder: Images to embeddings.
        views: The images.
        images_per_pass: At least 1; None: all at once. Passes are of one size, but for one image: a small rest would
            be too few for batch norm.

    Source:
        The representation cache of Gao et al. 2021, arXiv:2101.06983, by PyTorch's own checkpoints.
    """
    num_passes = math.ceil(len(views) / images_per_pass) if images_per_pass else 1
    if num_passes <= 1:
        return encoder(_of_any_number(views))

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), statistics_kept(encoder)

    passes = map(_of_any_number, views.tensor_split(num_passes))
    return torch.cat([checkpoint(encoder, part, use_reentrant=False, context_fn=contexts) for part in passes])


def _of_any_number(views: Tensor) -> Tensor:
    """Tell a compiled encoder that the next batch may have more images or fewer: it is compiled once."""
    maybe_mark_dynamic(views, 0)
    return views


@contextmanager
def statistics_kept(encoder: nn.Module) -> Iterator[None]:
    """Leave batch norm's running statistics as they were: a pass that is taken again was counted already.

    They are put back rather than not updated, so that the pass is computed just as it was.
    """
    layers = [module for module in encoder.modules() if isinstance(module, _BatchNorm) and module.training]
    kept = [(value, value.clone()) for layer in layers for value in layer.buffers(recurse=False)]
    try:
        yield
    finally:
        for value, before in kept:
            value.copy_(before)
