"""What an export folder holds beside the checkpoint: fingerprint, known lesions, classifier."""

import json
import tempfile
from pathlib import Path
from random import Random

import numpy as np
from mutation import mutated_bytes, mutated_text, mutated_tree
from small_model import write_export
from target import Target
from targets.checkpoints import with_head

from slimp_pipeline.handover.classifier import Classifier
from slimp_pipeline.handover.known import KnownLesions
from slimp_pipeline.models.fingerprint import check_fingerprint
from slimp_pipeline.models.pretrained import load

_TEXTS = ("fingerprint.json", "known_lesions.json", "classifier.json")
_ARRAYS = ("known_lesions.safetensors", "classifier.safetensors")


def make() -> Target:
    folder = Path(tempfile.mkdtemp()) / "exported"
    folder.mkdir()
    write_export(folder)
    encoder = load(folder)
    contents = {name: (folder / name).read_bytes() for name in (*_TEXTS, *_ARRAYS, "fingerprint.png")}
    image_ND = np.ones((2, 16), dtype=np.float32)

    def draw(rng: Random) -> tuple[str, bytes]:
        name = rng.choice(("fingerprint.png", *_TEXTS * 3, *_ARRAYS * 3))
        if name in _ARRAYS and rng.random() < 0.6:
            return name, with_head(rng, contents[name])
        if name in _TEXTS and rng.random() < 0.6:
            names = ["embedding", "cohort", "classes", "temperature", "unusual_above", "rows", "image"]
            return name, json.dumps(mutated_tree(rng, [json.loads(contents[name])], names)).encode()
        if name in _TEXTS:
            return name, mutated_text(rng, [contents[name].decode()], ["{", "[", ",", "NaN", "null", '"']).encode()
        return name, mutated_bytes(rng, [contents[name]])

    def call(drawn: tuple[str, bytes]) -> None:
        name, content = drawn
        (folder / name).write_bytes(content)
        try:
            if name.startswith("fingerprint"):
                check_fingerprint(encoder, folder)
            elif name.startswith("known"):
                known = KnownLesions.read(folder)
                assert known is not None and known.nearest(image_ND, 3)[0].shape[0] == 2
                assert known.unusual(image_ND).shape == (2,)
            else:
                classifier = Classifier.read(folder)
                assert classifier is not None
                assert np.isfinite(classifier.probabilities(image_ND)).all()
        finally:
            (folder / name).write_bytes(contents[name])

    return Target(draw, call, (ValueError,), share=20)
