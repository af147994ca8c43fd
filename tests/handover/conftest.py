"""Models to hand on: the tiny nested model of the models' tests, and a folder with all that an export holds."""

from tests.models.conftest import checkpoint, encoding, lesion_level, model_settings, tiny_vit

__all__ = ["checkpoint", "encoding", "lesion_level", "model_settings", "tiny_vit"]
