"""Embedding from stored bytes against its ceiling: the bare backbone's forward pass on ready tensors; one thread."""

import time
from pathlib import Path

import pandas as pd
import torch

from comparison import compare
from input_path import BATCH, crops
from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.images.decode import decoded_batches, keep_freed_memory
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.image import is_convolutional
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import ImageEncoderParams, LossParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding, fit_encoding

NUM_BATCHES = 3


def measure(folder: Path, backbone: ImageEncoderParams, rounds: int) -> dict:
    """Images per second of processor time, decoding included."""
    torch.set_num_threads(1)
    keep_freed_memory()
    store, settings = crops(folder), ModelParams(image_encoder=backbone)
    encoding = _encoding()
    state = SLIMP(settings, LossParams(), encoding).state_dict()
    encoder = PretrainedSLIMP(Checkpoint(state, settings, LossParams(), encoding), batch_size=BATCH)
    rows = torch.randint(len(store), (NUM_BATCHES, BATCH), generator=torch.Generator().manual_seed(0)).tolist()
    image = torch.randn(BATCH, 3, backbone.image_size, backbone.image_size)
    if is_convolutional(encoder.model.image_encoder):
        image = image.contiguous(memory_format=torch.channels_last)

    def ours() -> None:
        for canvas, side in decoded_batches(store, backbone.image_size, rows, num_workers=0):
            encoder.encode_canvases(canvas, side)

    @torch.inference_mode()
    def bare() -> None:
        for _ in rows:
            encoder.model.image_encoder(image)

    rates = [[_rate(ours), _rate(bare)] for _ in range(rounds + 1)][1:]  # the first round warms up
    return compare(*zip(*rates, strict=True), "bare timm backbone, ready tensors", "images per CPU second")


def _rate(embed) -> float:
    started = time.process_time()
    embed()
    return NUM_BATCHES * BATCH / (time.process_time() - started)


def _encoding() -> Encoding:
    lesions = pd.DataFrame({"patient_id": ["p0", "p1"], "image_id": ["i0", "i1"], "diameter_mm": [1.0, 2.0]})
    fields = {"diameter_mm": FieldSpec(kind="numeric", level="lesion", column="diameter")}
    return fit_encoding(lesions, lesions[["patient_id"]], fields)
