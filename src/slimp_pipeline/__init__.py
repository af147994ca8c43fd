"""SLIMP for skin lesions: nested image-metadata contrastive pre-training and its evaluation.

A pre-trained encoder loads in two lines (doctested in `docs/hand_over/use_the_encoder.md`):

    encoder = slimp_pipeline.load("data/06_models/<source>/encoders/<version>/encoders/all")
    embedding = encoder.encode_images(["lesion.jpg"])
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["image_weights", "load"]


def __getattr__(name: str) -> Any:
    """Import torch only when an encoder is asked for: `kedro` commands start without it."""
    if name in __all__:
        from slimp_pipeline.models import pretrained

        return getattr(pretrained, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
