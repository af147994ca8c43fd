"""The embedding by which pictures are compared: a pre-trained encoder's, or the weights' that training starts from."""

import logging
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from slimp_pipeline.evaluation.features.embed import RANDOM_INIT, STARTS, embed_images, initial, named_encoders
from slimp_pipeline.images.decode import keep_freed_memory
from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.parameters import EvaluationParams, LossParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding, LevelEncoding
from slimp_pipeline.training.device import pick_device

logger = logging.getLogger(__name__)


def choose_encoders(
    encoders: Mapping[str, Checkpoint], wanted: Literal["auto", "pretrained", "initial"]
) -> Mapping[str, Checkpoint]:
    """Pre-trained encoders, or none where the model's first weights are to embed.

    Raises:
        FileNotFoundError: If there are no pre-trained ones, and they are asked for.
    """
    if wanted == "pretrained" and not encoders:
        raise FileNotFoundError(
            "inspection.encoder is pretrained, and there is no pre-trained encoder yet. Run "
            "`kedro run --pipeline=pretrain` first, or set inspection.encoder to `initial`."
        )
    return {} if wanted == "initial" else encoders


def embed_pictures(
    rows: pd.DataFrame,
    store: ImageStore,
    encoders: Mapping[str, Checkpoint],
    model: ModelParams,
    seed: int,
    settings: EvaluationParams,
) -> dict[str, np.ndarray]:
    """Embed the pictures of rows with one encoder.

    Of cross-fitted encoders it is the first: embeddings of different ones can't be compared.

    Args:
        rows: store_index.
        store: The image store.
        encoders: Partition -> pre-trained encoder; none: the model's first weights.
        model: Says what these are.
        seed: Of random weights.
        settings: Device, batch size, workers.

    Returns:
        Method (`initial_weights`, `random_init`, or the pre-trained encoder's objective) -> float32 (N, D).
    """
    keep_freed_memory()
    if encoders:
        ((method, by_partition),) = named_encoders(encoders).items()
        checkpoint = next(iter(by_partition.values()))
    else:
        checkpoint = _first_weights(model, seed)
        method = RANDOM_INIT if model.image_encoder.weights == "random" else STARTS[0]
    if method == RANDOM_INIT:
        logger.warning(
            "Pictures are compared by an encoder with random weights, which tells little beyond equal pictures. "
            "Pre-train one, or set model.image_encoder.weights (as --env=pad_ufes_20 does)."
        )
    encoder = PretrainedSLIMP(checkpoint, pick_device(settings.device), settings.batch_size)
    return embed_images({method: encoder}, rows, store, settings, "pictures")


def _first_weights(model: ModelParams, seed: int) -> Checkpoint:
    """The model before any training; it reads no metadata."""
    nothing = LevelEncoding(fields={})
    encoding = Encoding(lesion=nothing, patient=nothing, num_patients=0)
    untrained = Checkpoint({}, model, LossParams(), encoding, {"training": {"seed": seed}})
    return initial(untrained, random_image_encoder=False)
