"""ONNX models, run by ONNX's own runtime."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch

import slimp_pipeline
from slimp_pipeline.handover import onnx_models
from slimp_pipeline.handover.onnx_models import IMAGE, LESION, PATIENT, export_onnx
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import ImageEncoderParams, LossParams
from slimp_pipeline.tables.encoding import CategoricalEncoding, CheckboxEncoding, Encoding, LevelEncoding, encode

LESIONS = pd.DataFrame(
    {
        "diameter_mm": [3.0, None, 200.0, 4.0, None],
        "site": ["arm", "tail", None, "leg", None],
        "symptom.itch": [True, False, None, True, None],
        "symptom.bleed": [False, False, None, True, None],
    }
)


def run(model: bytes, fields: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(model)
    wanted = {value.name for value in session.get_inputs()}
    return session.run(["embeddings"], {name: values for name, values in fields.items() if name in wanted})[0]


def test_all_encoders_embed_any_number_of_rows_as_the_original_does(checkpoint):
    encoder = PretrainedSLIMP(checkpoint)
    models = export_onnx(encoder, opset=18)
    assert set(models) == {IMAGE, LESION, PATIENT}
    for num_rows in (1, 2, 5, 130):
        image = torch.rand(num_rows, 3, 16, 16)
        views = (image - encoder.model.image_mean.view(3, 1, 1)) / encoder.model.image_std.view(3, 1, 1)
        found = run(models[IMAGE], {"image": image.numpy()})
        np.testing.assert_allclose(found, encoder.encode_views(views), rtol=1e-4, atol=1e-5)
        rows = pd.concat([LESIONS] * 26).iloc[:num_rows]
        fields = encode(checkpoint.encoding.lesion, rows)
        np.testing.assert_allclose(run(models[LESION], fields), encoder.encode_metadata(rows), rtol=1e-4, atol=1e-5)
    ages = pd.DataFrame({"age_years": [60.0, None], "sex": ["male", None]})
    found = run(models[PATIENT], encode(checkpoint.encoding.patient, ages))
    np.testing.assert_allclose(found, encoder.encode_patients(ages), rtol=1e-4, atol=1e-5)
    for model in models.values():
        assert b"stack_trace" not in model and str(Path(slimp_pipeline.__file__).parent).encode() not in model
        onnx.checker.check_model(onnx.load_from_string(model))
        assert {entry.version for entry in onnx.load_from_string(model).opset_import if entry.domain == ""} == {18}


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0"])
def test_a_convolutional_backbone_is_exported_too(checkpoint, name):
    image_encoder = ImageEncoderParams(name=name, image_size=64)
    settings = checkpoint.model.model_copy(update={"image_encoder": image_encoder})
    encoding = Encoding(
        lesion=LevelEncoding(fields={"box": CheckboxEncoding(options=["a", "b"])}),
        patient=LevelEncoding(fields={}),
        num_patients=2,
    )
    state = SLIMP(settings, LossParams(), encoding).state_dict()
    encoder = PretrainedSLIMP(Checkpoint(state, settings, LossParams(), encoding))
    models = export_onnx(encoder, opset=18)
    assert set(models) == {IMAGE, LESION}  # patients have no fields: there is nothing to encode


def test_a_level_of_categories_alone_is_exported(checkpoint):
    level = LevelEncoding(fields={"sex": CategoricalEncoding(categories=["female", "male"])})
    encoding = Encoding(lesion=LevelEncoding(fields={}), patient=level, num_patients=2)
    state = SLIMP(checkpoint.model, LossParams(), encoding).state_dict()
    encoder = PretrainedSLIMP(replace(checkpoint, state=state, encoding=encoding))
    found = run(export_onnx(encoder, 18)[PATIENT], {"categorical": np.array([[0], [1], [2], [3]])})
    expected = encoder.encode_patients(pd.DataFrame({"sex": [None, "other", "female", "male"]}))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_model_that_embeds_otherwise_is_not_handed_on(checkpoint, monkeypatch):
    monkeypatch.setattr(onnx_models, "TOLERANCE", -1.0)
    with pytest.raises(
        ValueError, match=r"image_encoder\.onnx gives other embeddings than the encoder itself, apart by"
    ):
        export_onnx(PretrainedSLIMP(checkpoint), 18)


def test_without_the_extra_the_error_says_what_to_install(checkpoint, monkeypatch):
    def absent(*_args, **_options):
        raise ModuleNotFoundError("No module named 'onnxscript'", name="onnxscript")

    monkeypatch.setattr(torch.onnx, "export", absent)
    with pytest.raises(ModuleNotFoundError, match=r"ONNX models need onnxscript: install the extra .*\[onnx\]"):
        export_onnx(PretrainedSLIMP(checkpoint), 18)
