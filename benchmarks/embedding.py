"""Embedding from stored bytes against its ceiling: the bare backbone's forward pass on ready tensors; one thread."""

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from comparison import compare
from input_path import BATCH, crops
from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.features.embed import embed_images
from slimp_pipeline.images.decode import keep_freed_memory
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.image import is_convolutional
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import EvaluationParams, ImageEncoderParams, LossParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding, fit_encoding

NUM_BATCHES = 3
TOGETHER = 3  # encoders that an evaluation embeds with at the least: trained, before training, random


def measure(folder: Path, backbone: ImageEncoderParams, rounds: int) -> dict[str, dict]:
    """Embeddings per second of processor time, decoding included: of several encoders at once, and of one alone."""
    torch.set_num_threads(1)
    keep_freed_memory()
    store, settings = crops(folder), EvaluationParams(batch_size=BATCH, num_workers=0)
    encoders = [PretrainedSLIMP(checkpoint(backbone), batch_size=BATCH) for _ in range(TOGETHER)]
    store_index = torch.randint(len(store), (NUM_BATCHES * BATCH,), generator=torch.Generator().manual_seed(0))
    rows = pd.DataFrame({"store_index": store_index.numpy()})
    image = torch.randn(BATCH, 3, backbone.image_size, backbone.image_size)
    if is_convolutional(encoders[0].model.image_encoder):
        image = image.contiguous(memory_format=torch.channels_last)

    def ours(num_encoders: int) -> None:
        embed_images(dict(enumerate(encoders[:num_encoders])), rows, store, settings, "crops")

    @torch.inference_mode()
    def bare(num_encoders: int) -> None:
        for encoder in encoders[:num_encoders]:
            for _ in range(NUM_BATCHES):
                encoder.model.image_encoder(image)

    measured = {}
    for name, num_encoders in (("", TOGETHER), ("alone", 1)):
        rates = [[_rate(work, num_encoders) for work in (ours, bare)] for _ in range(rounds + 1)]
        rates = rates[1:]  # the first round warms up
        peer = f"bare timm backbone, ready tensors ({num_encoders} encoder{'s' if num_encoders > 1 else ''})"
        measured[name] = compare(*zip(*rates, strict=True), peer, "images per CPU second")
    return measured


def _rate(embed: Callable[[int], None], num_encoders: int) -> float:
    started = time.process_time()
    embed(num_encoders)
    return num_encoders * NUM_BATCHES * BATCH / (time.process_time() - started)


def checkpoint(backbone: ImageEncoderParams) -> Checkpoint:
    settings, encoding = ModelParams(image_encoder=backbone), _encoding()
    state = SLIMP(settings, LossParams(), encoding).state_dict()
    return Checkpoint(state, settings, LossParams(), encoding)


def _encoding() -> Encoding:
    lesions = pd.DataFrame({"patient_id": ["p0", "p1"], "image_id": ["i0", "i1"], "diameter_mm": [1.0, 2.0]})
    fields = {"diameter_mm": FieldSpec(kind="numeric", level="lesion", column="diameter")}
    return fit_encoding(lesions, lesions[["patient_id"]], fields)
