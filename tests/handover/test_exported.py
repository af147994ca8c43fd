"""The export folder, as another program reads it."""

import json

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from tests.handover.conftest import NOTHING_SEEN, SETTINGS

import slimp_pipeline
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.measures.calibration import rescale
from slimp_pipeline.evaluation.protocols.probe import fit_task_probe
from slimp_pipeline.evaluation.task import make_task
from slimp_pipeline.handover.exported import EXPORT_FILES, export, files_of, licence_of
from slimp_pipeline.handover.reader import LesionReader
from slimp_pipeline.parameters import ExportParams
from slimp_pipeline.pipelines.export.nodes import export_model

NO_ONNX = ExportParams(onnx=False)


def test_a_folder_holds_everything_and_loads_in_timm_and_here(make_export):
    folder = make_export(onnx=True)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "classifier.json", "classifier.safetensors", "config.json", "encoding.json", "fingerprint.json",
        "fingerprint.png", "image_encoder.onnx", "known_lesions.json", "known_lesions.safetensors",
        "lesion_encoder.onnx", "model.safetensors", "patient_encoder.onnx", "slimp.safetensors",
    ]  # fmt: skip
    assert {path.name for path in folder.iterdir()} == EXPORT_FILES - {"picture_encoder.onnx"}  # of three levels
    assert timm.create_model(f"local-dir:{folder}", pretrained=True).num_features == 32
    assert slimp_pipeline.load(folder).encode_images([folder / "fingerprint.png"]).shape == (1, 32)
    card = (folder / "README.md").read_text()
    for said in (
        "CC BY 4.0",
        "| slimp | image | balanced_accuracy | 0.700 [0.600, 0.800] |",
        "MEL, NEV",
        "image_encoder.onnx",
    ):
        assert said in card
    assert "macro_f1" not in card and "patient-" not in card


def test_readings_are_those_of_encoder_neighbours_and_classifier(make_export, photograph):
    folder = make_export()
    reader = LesionReader(folder, num_nearest=3)
    readings = reader.read([photograph, photograph], pd.DataFrame({"diameter_mm": [5.0, None]}))
    (folder / "one.jpg").write_bytes(photograph)
    np.testing.assert_array_equal(readings.image_ND[0], reader.encoder.encode_images([folder / "one.jpg"])[0])
    assert not np.allclose(readings.lesion_NM[0], readings.lesion_NM[1])
    assert readings.nearest_NK.shape == readings.distance_NK.shape == (2, 3)
    assert readings.unusual_N.shape == (2,)
    np.testing.assert_allclose(readings.probability_NC.sum(axis=1), 1)
    with pytest.raises(ValueError, match=r"^picture 1: not a picture in a format that is read"):
        reader.read([photograph, b"no picture"], pd.DataFrame(index=range(2)))


def test_the_classifier_is_the_evaluations_probe_on_all_rows(checkpoint, evaluated):
    exported = export({"all": checkpoint}, NOTHING_SEEN, evaluated, SETTINGS, NO_ONNX)
    image_ND = evaluated.embeddings["slimp.all.image"]
    task = make_task(evaluated.rows, evaluated.splits, SETTINGS)
    everyone = np.ones(60, dtype=bool)
    scaling = Scaling.fit([image_ND])
    probe = fit_task_probe(task, scaling([image_ND]), everyone, SETTINGS)
    expected = rescale(probe.scores(scaling([image_ND])), probe.temperature)
    np.testing.assert_allclose(exported.classifier.probabilities(image_ND), expected, atol=1e-5)
    assert (exported.classifier.probabilities(image_ND).argmax(axis=1) == task.label_N).mean() > 0.9


def described(name):
    return {
        "name": name, "title": name, "licence": "CC-0", "source": "s", "folder": name, "tables": [{"file": "t.csv"}],
        "image_id": "id", "patient_id": ["p"], "fields": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sources", "owner", "num_known"), [(["clinic"], "", 20), (["tbp", "clinic"], "clinic:", 20), (["tbp"], "", 60)]
)
def test_only_patients_whom_the_pre_training_did_not_see_are_known(checkpoint, evaluated, sources, owner, num_known):
    seen = [f"{owner}patient-{i // 2}" for i in range(40)]
    seen += [f"tbp:patient-{i}" for i in range(20, 30)] if owner else []  # others of the same names
    training_rows = pd.DataFrame({"partition": "fold_0", "image_id": seen, "patient_id": seen})
    specs = {name: described(name) for name in sources}
    together = specs[sources[0]] if not owner else {"name": "+".join(sources), "members": specs}
    source = CohortSpec.model_validate(together)
    embeddings = {"slimp.fold_0.image": evaluated.embeddings["slimp.all.image"]}
    exported = export_model(
        {"fold_0": checkpoint}, training_rows, source, CohortSpec.model_validate(described("clinic")), evaluated.rows,
        evaluated.splits, embeddings, evaluated.results, SETTINGS, NO_ONNX,
    )  # fmt: skip
    assert len(exported.known.embedding_ND) == num_known and exported.classifier.num_patients == num_known // 2


def test_without_an_evaluation_the_encoder_is_exported_alone(make_export, photograph):
    folder = make_export(with_evaluation=False)
    assert not [path for path in folder.iterdir() if path.name.startswith(("known", "classifier"))]
    readings = LesionReader(folder).read([photograph], pd.DataFrame(index=[0]))
    assert readings.nearest_NK is readings.unusual_N is readings.probability_NC is None


def test_an_encoder_that_is_not_there_is_named_with_those_that_are(checkpoint):
    encoders = {"fold_0": checkpoint, "fold_1": checkpoint}
    with pytest.raises(ValueError, match=r"export\.partition: there is no encoder 'all'\. There are: fold_0, fold_1"):
        export(encoders, NOTHING_SEEN, None, SETTINGS, ExportParams(onnx=False, partition="all"))
    assert export(encoders, NOTHING_SEEN, None, SETTINGS, NO_ONNX).checkpoint is checkpoint


def negated(file, name):
    tensors = load_file(file)
    tensors[name] = -tensors[name]
    save_file(tensors, file)


DAMAGES = {
    "other image weights": ("image", lambda f: negated(f / "model.safetensors", "norm.weight")),
    "other lesion weights": ("lesion", lambda f: negated(f / "slimp.safetensors", "lesion_encoder.nothing_known")),
    "another scale": (
        "patient",
        lambda f: (f / "encoding.json").write_text((f / "encoding.json").read_text().replace("50.0", "70.0")),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_model_that_embeds_otherwise_than_when_it_was_exported_is_refused(make_export, damage):
    part, change = DAMAGES[damage]
    folder = make_export()
    slimp_pipeline.load(folder)
    if part == "patient":  # the rows of the fingerprint are values, as users have them
        told = json.loads((folder / "fingerprint.json").read_text())
        assert told["rows"][0]["age_years"] == 55.0
    change(folder)
    with pytest.raises(ValueError, match=rf"exported_model: the {part} of fingerprint\.json doesn't come out again"):
        slimp_pipeline.load(folder)


def test_the_folder_above_is_read_as_the_export_itself_is(make_export):
    folder = make_export("2026-01-01T00.00.00.000Z/exported_model")
    above = LesionReader(folder.parent)
    assert above.known is not None and above.classifier is not None
    negated(folder / "model.safetensors", "norm.weight")
    for place in (folder, folder.parent):
        with pytest.raises(ValueError, match=r"exported_model: the image of fingerprint\.json doesn't come out again"):
            slimp_pipeline.load(place)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"rows": [], "image": [1]}', '{"rows": 7, "image": "x"}'])
def test_a_damaged_fingerprint_is_refused(make_export, text):
    folder = make_export()
    (folder / "fingerprint.json").write_text(text)
    with pytest.raises(ValueError, match=r"exported_model: .*fingerprint\.json"):
        slimp_pipeline.load(folder)


def test_known_lesions_stay_at_home_unless_they_are_asked_for(make_export):
    folder = make_export()
    gone = {path.name for path in files_of(folder, with_known=True)} - {
        p.name for p in files_of(folder, with_known=False)
    }
    assert gone == {"known_lesions.json", "known_lesions.safetensors"}
    assert licence_of(folder) == "CC BY 4.0"


def test_nothing_that_is_exported_bears_an_id(make_export):
    torch.manual_seed(0)
    for path in make_export(onnx=True).iterdir():
        content = path.read_bytes()
        assert b"patient-" not in content and b"img0" not in content, path.name
