"""Parts of an export folder that were damaged, or come from anywhere, are refused in words."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from slimp_pipeline.handover.classifier import Classifier
from slimp_pipeline.handover.known import KnownLesions
from slimp_pipeline.handover.reader import LesionReader

KNOWN = KnownLesions("clinic", np.eye(3, dtype=np.float32), ["a", "b", "a"], 0.5, 0.1)
CLASSIFIER = Classifier("clinic", ["a", "b"], np.ones((3, 2), dtype=np.float32), np.zeros(2, dtype=np.float32), 1.5, 9)
PARTS = {"known_lesions": KNOWN, "classifier": CLASSIFIER}
NOT_FACTS = ["", "{", "[]", "null", "[" * 9999, '{"cohort": 1}', '{"temperature": NaN}', "\\ud800"]


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("text", NOT_FACTS)
def test_facts_that_are_none_are_refused_by_the_name_of_their_file(tmp_path, name, text):
    PARTS[name].write(tmp_path)
    (tmp_path / f"{name}.json").write_text(text)
    with pytest.raises(ValueError, match=rf"{name}\.json can't be used: .*\. Copy the folder again"):
        type(PARTS[name]).read(tmp_path)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("fact", ["cohort", "unusual_above", "temperature", "classes", "diagnosis"])
@pytest.mark.parametrize("value", [None, "nan", -1, float("inf"), {}, [1]])
def test_a_fact_of_another_kind_is_named(tmp_path, name, fact, value):
    PARTS[name].write(tmp_path)
    facts = json.loads((tmp_path / f"{name}.json").read_text())
    if fact not in facts or (fact, value) in (("unusual_above", -1), ("cohort", "nan")):
        return
    (tmp_path / f"{name}.json").write_text(json.dumps(facts | {fact: value}))
    with pytest.raises(ValueError, match=rf"{name}\.json can't be used: {fact}"):
        type(PARTS[name]).read(tmp_path)


@pytest.mark.parametrize("temperature", [1e-320, 1e300])
def test_a_temperature_that_no_classifier_was_fitted_to_is_refused(tmp_path, temperature):
    CLASSIFIER.write(tmp_path)
    facts = json.loads((tmp_path / "classifier.json").read_text())
    (tmp_path / "classifier.json").write_text(json.dumps(facts | {"temperature": temperature}))
    with pytest.raises(ValueError, match=r"classifier\.json can't be used: temperature"):
        Classifier.read(tmp_path)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("content", [b"", b"\xff" * 8, (2).to_bytes(8, "little") + b"{}"])
def test_arrays_that_are_none_are_refused_by_the_name_of_their_file(tmp_path, name, content):
    PARTS[name].write(tmp_path)
    (tmp_path / f"{name}.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}\.safetensors can't be used: "):
        type(PARTS[name]).read(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [np.full((3, 3), np.nan, np.float32), np.full((3, 3), 1e300), np.ones((3, 3), np.int64), np.ones(3, np.float32)],
)
def test_arrays_that_nothing_can_be_computed_with_are_refused(tmp_path, wrong):
    KNOWN.write(tmp_path)
    save_file({"embedding": wrong}, tmp_path / "known_lesions.safetensors")
    with pytest.raises(ValueError, match=r"known_lesions\.safetensors can't be used"):
        KnownLesions.read(tmp_path)


def test_parts_of_another_encoders_width_are_refused_when_they_are_loaded(make_export):
    folder = make_export()
    KNOWN.write(folder)
    with pytest.raises(
        ValueError, match="gives 32 numbers for a picture, its known lesions have 3, its classifier reads"
    ):
        LesionReader(folder)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_an_earlier_export_left_in_the_folder_is_refused(make_export, part):
    older, folder = make_export(), make_export("retrained", with_evaluation=False)
    for file in older.glob(f"{part}.*"):  # `cp -r` over the older folder leaves them, too
        shutil.copy(file, folder)
    with pytest.raises(ValueError, match=rf"{part}\.json can't be used: it is of another encoder"):
        LesionReader(folder)
