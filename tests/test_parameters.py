"""Settings: what a block refuses, in words."""

import inspect

import pytest
import timm
from pydantic import ValidationError
from timm.models._builder import build_model_with_cfg

from slimp_pipeline.parameters import ImageEncoderParams, ModelParams, StudyParams, TrainingParams

ELSEWHERE = [
    *(
        "hf-hub:timm/resnet18.a1_in1k",
        "hf_hub:timm/resnet18",
        "local-dir:/tmp/model",
        "file:/tmp/model",
        "timm/resnet18",
    ),
    *("https://example.org/model", "../resnet18", "/tmp/model", "C:\\model", "resnet18@main", "resnet18\n", " ", ""),
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_an_image_encoder_of_no_registry_is_refused(name):
    with pytest.raises(ValidationError, match="only names of timm's registry"):
        ImageEncoderParams(name=name)


def test_every_name_of_timms_registry_is_allowed():
    for name in {*timm.list_models(), *timm.list_pretrained()}:
        ImageEncoderParams(name=name)


def test_whatever_timms_builders_take_beside_the_architecture_is_refused():
    builders = (timm.create_model, build_model_with_cfg)
    names = {name for builder in builders for name in inspect.signature(builder).parameters}
    assert {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"} < names
    for name in (*names, "pretrained_anything", "features_only", "pruned", "num_classes", "device"):
        with pytest.raises(ValidationError, match=f"'{name}' is no argument of the architecture"):
            ImageEncoderParams(arguments={"depth": 1, name: "x"})


NOT_PLAIN = [
    *({"url": "x"}, {"hf_hub_id": "x"}, {"file": "x"}, {"custom_load": True}, {}, [{"file": "x"}], [[{"a": 1}]]),
    *("https://example.org/x.bin", "/tmp/x", "..\\x", "C:x", "a" * 41, "gelu\n", "ä", b"x", {1, 2}, object()),
]


@pytest.mark.parametrize("value", NOT_PLAIN)
def test_an_argument_that_is_not_plain_is_refused(value):
    with pytest.raises(
        ValidationError, match="'act_layer' must be a number, true, false, null, a short word, or a list"
    ):
        ImageEncoderParams(arguments={"act_layer": value})


@pytest.mark.parametrize("value", [1, -0.5, True, None, "gelu", "", "hard_swish", [1, [2, 3]], (1, 2), ["a", None]])
def test_a_plain_argument_is_passed_on_as_it_is(value):
    assert ImageEncoderParams(arguments={"anything": value}).arguments == {"anything": value}


def test_the_setting_that_is_refused_is_named():
    with pytest.raises(ValidationError) as caught:
        ModelParams.model_validate({"image_encoder": {"name": "hf-hub:x"}})
    assert [problem["loc"] for problem in caught.value.errors()] == [("image_encoder", "name")]


@pytest.mark.parametrize("place", [{"label": "\ud800"}, {"label": "a", "changes": {"a.b": ["\udfff"]}}])
def test_half_a_character_is_refused_wherever_it_stands(place):
    with pytest.raises(ValidationError, match="holds half a character: write the character itself"):
        StudyParams(variants=[place])


def test_a_whole_character_beyond_the_basic_plane_is_a_text():
    assert StudyParams(variants=[{"label": "\U0001f9ea"}]).variants[0].label == "\U0001f9ea"


@pytest.mark.parametrize("count", [0, -8])
def test_a_pass_of_no_image_is_refused(count):
    with pytest.raises(ValidationError, match="images_per_pass\n  Input should be greater than or equal to 1"):
        TrainingParams(images_per_pass=count)
