"""Image encoders and their first weights."""

import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import group_parameters

from slimp_pipeline.models.image import (
    build_image_encoder,
    freeze_stages,
    hold_statistics,
    is_convolutional,
    normalisation,
    stages,
)
from slimp_pipeline.parameters import ImageEncoderParams

VIT = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}


def settings_of(weights="random", **changes) -> ImageEncoderParams:
    plain = {"name": "vit_tiny_patch16_224", "image_size": 16, "arguments": VIT, "weights": str(weights)}
    return ImageEncoderParams(**(plain | changes))


@pytest.fixture
def weights_file(tmp_path):
    """Weights as timm publishes them: with the classifier of another task."""
    torch.manual_seed(3)
    published = timm.create_model("vit_tiny_patch16_224", img_size=16, num_classes=7, **VIT)
    save_file(published.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors", published


def test_an_encoder_gives_pooled_features_of_any_batch():
    encoder = build_image_encoder(settings_of())
    assert encoder(torch.zeros(2, 3, 16, 16)).shape == (2, 32)
    assert encoder.num_features == 32


def test_weights_of_a_file_are_loaded_without_their_classifier(weights_file):
    path, published = weights_file
    encoder = build_image_encoder(settings_of(path))
    assert not any(name.startswith("head.") for name in encoder.state_dict())
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, published.state_dict()[name])


def test_weights_of_a_backbone_whose_own_layers_lie_in_its_head_are_loaded(tmp_path):
    published = timm.create_model("convnext_atto", num_classes=5, **CONVNEXT)
    with torch.no_grad():
        published.head.norm.bias += 1
    save_file(published.state_dict(), tmp_path / "convnext.safetensors")
    settings = settings_of(tmp_path / "convnext.safetensors", name="convnext_atto", arguments=CONVNEXT)
    encoder = build_image_encoder(settings)
    assert torch.equal(encoder.head.norm.bias, published.head.norm.bias)


def test_a_file_is_not_read_where_a_checkpoint_follows(tmp_path):
    build_image_encoder(settings_of(tmp_path / "absent.safetensors"), load_weights=False)


def test_an_absent_file_is_named_with_advice(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*absent\.safetensors.*SLIMP_WEIGHTS"):
        build_image_encoder(settings_of(tmp_path / "absent.safetensors"))


def test_weights_of_another_model_are_refused_with_the_names_that_do_not_fit(tmp_path):
    save_file({"stem.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"doesn't fit the model: \d+ tensors absent .* 1 unknown \['stem.weight'\]"):
        build_image_encoder(settings_of(tmp_path / "other.safetensors"))


def test_weights_of_another_size_are_refused_with_both_shapes(weights_file):
    with pytest.raises(ValueError, match=r"of another shape .*\(1, 5, 32\), needed \(1, 17, 32\).*image_size"):
        build_image_encoder(settings_of(weights_file[0], image_size=32))


def test_weights_that_cannot_be_computed_with_are_refused_by_name(weights_file):
    path, published = weights_file
    save_file({**published.state_dict(), "norm.bias": torch.full((32,), float("nan"))}, path)
    with pytest.raises(ValueError, match=r"weights\.safetensors: tensor norm\.bias holds NaN"):
        build_image_encoder(settings_of(path))


def test_published_weights_of_half_precision_are_loaded(weights_file):
    path, published = weights_file
    save_file({name: value.half() for name, value in published.state_dict().items()}, path)
    assert {value.dtype for value in build_image_encoder(settings_of(path)).state_dict().values()} == {torch.float32}


class Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of the file was run')",))


@pytest.mark.parametrize("content", [pickle.dumps(Trap()), b"", b"<html>not found</html>"])
def test_a_pickle_or_any_other_file_is_refused_and_none_of_its_code_runs(tmp_path, content):
    (tmp_path / "weights.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights.bin is no safetensors file: .*pickles aren't read"):
        build_image_encoder(settings_of(tmp_path / "weights.bin"))


def test_an_unknown_tag_of_published_weights_is_an_error():
    with pytest.raises(ValueError, match=r"timm can't build 'vit_tiny_patch16_224\.none'.*Invalid pretrained tag"):
        build_image_encoder(settings_of(name="vit_tiny_patch16_224.none"))


def test_an_unknown_model_name_is_an_error_that_names_near_ones():
    with pytest.raises(ValueError, match=r"timm has no model 'resnet_18'\. Near ones: .*resnet"):
        build_image_encoder(settings_of(name="resnet_18", arguments=None))


@pytest.mark.parametrize("arguments", [{"no_such_argument": 1}, {**VIT, "num_heads": 3}])
def test_arguments_that_the_model_cannot_take_are_an_error_that_shows_them(arguments):
    with pytest.raises(ValueError, match=r"timm can't build 'vit_tiny_patch16_224' with .*num_classes"):
        build_image_encoder(settings_of(arguments=arguments))


@pytest.mark.parametrize("error", [OSError("no route\nto the host"), ConnectionError(), TimeoutError("timed out")])
def test_an_unreachable_hub_is_an_error_with_advice(monkeypatch, error):
    def unreachable(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(ConnectionError, match=r"can't be fetched from the model hub: .*weights to its path") as caught:
        build_image_encoder(settings_of("hub"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["fastvit_t8", "mobilevit_xxs", "tf_efficientnet_lite0", "xcit_nano_12_p16_224"])
def test_backbones_of_any_family_take_the_image_size_that_was_set(name):
    settings = ImageEncoderParams(name=name, image_size=64)
    encoder = build_image_encoder(settings).eval()
    with torch.inference_mode():
        assert encoder(torch.zeros(1, 3, 64, 64)).shape == (1, encoder.num_features)


def test_the_normalisation_is_the_backbones_own():
    mean, std = normalisation(build_image_encoder(settings_of()))
    assert mean.tolist() == std.tolist() == [0.5, 0.5, 0.5]


def trained(encoder, steps: int = 2, keep_batch_norm: bool = False) -> None:
    hold_statistics(encoder.train(), keep_batch_norm=keep_batch_norm)
    optimizer = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    for step in range(steps):
        encoder(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(step))).pow(2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_frozen_stages_stay_bit_identical_with_their_batch_norm_statistics():
    torch.manual_seed(0)
    settings = ImageEncoderParams(name="tf_efficientnet_lite0", image_size=32, num_trained_stages=2)
    encoder = build_image_encoder(settings)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    frozen = {name for name, p in encoder.named_parameters() if not p.requires_grad}
    assert frozen
    assert frozen < set(dict(encoder.named_parameters()))
    trained(encoder)
    frozen_layers = {name.rpartition(".")[0] for name in frozen}
    for name, value in encoder.state_dict().items():
        held = name.rpartition(".")[0] in frozen_layers
        if held or value.ndim:  # a counter of batches may stand anywhere
            assert torch.equal(value, before[name]) == held, name


def test_kept_batch_norm_trains_its_scale_but_not_its_statistics():
    torch.manual_seed(0)
    encoder = build_image_encoder(ImageEncoderParams(name="tf_efficientnet_lite0", image_size=32))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    trained(encoder, keep_batch_norm=True)
    for name, value in encoder.state_dict().items():
        statistic = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(value, before[name]) == statistic, name


def test_statistics_can_only_be_kept_where_there_are_some():
    with pytest.raises(ValueError, match="keep_batch_norm needs first weights that have statistics"):
        ImageEncoderParams(name="tf_efficientnet_lite0", keep_batch_norm=True)


@pytest.mark.parametrize("num_trained", [0, 1, 2])
def test_as_many_stages_train_as_were_asked_for(num_trained):
    encoder = build_image_encoder(settings_of(num_trained_stages=num_trained))
    trains = {name.split(".")[0] for name, p in encoder.named_parameters() if p.requires_grad}
    everything = {"cls_token", "pos_embed", "patch_embed", "blocks", "norm"}
    assert trains == [set(), {"blocks", "norm"}, everything][num_trained]


IN_EVERY_GROUP = ["tf_efficientnet_lite0", "resnet18", "regnety_002", "vit_tiny_patch16_224", "cait_xxs24_224"]
BEHIND = {
    "convnext_atto": ("stages.3.", "head.norm."),
    "swin_tiny_patch4_window7_224": ("layers.3.", "norm."),
    "densenet121": ("features.denseblock4.", "features.norm5."),
    "mobilenetv3_small_050": ("blocks.5.", "conv_head."),
}


def without_memory(name):
    with torch.device("meta"):
        return timm.create_model(name, num_classes=0)


@pytest.mark.parametrize("name", BEHIND)
def test_what_stands_behind_the_blocks_belongs_to_the_last_of_them(name):
    encoder = without_memory(name)
    assert {next(start for start in BEHIND[name] if weight.startswith(start)) for weight in stages(encoder)[-1]} == {
        *BEHIND[name]
    }
    assert sorted(weight for stage in stages(encoder) for weight in stage) == sorted(dict(encoder.named_parameters()))


@pytest.mark.parametrize("name", IN_EVERY_GROUP)
def test_stages_are_timms_groups_where_these_hold_every_weight(name):
    encoder = without_memory(name)
    groups = group_parameters(encoder, encoder.group_matcher(coarse=True), return_values=False)
    assert stages(encoder) == [groups[number] for number in range(len(groups))]


def test_the_last_stages_of_an_efficientnet_are_what_they_were():
    starts = [
        [*dict.fromkeys(".".join(name.split(".")[:2]) for name in stage)]
        for stage in stages(without_memory(IN_EVERY_GROUP[0]))
    ]
    head = ["conv_head.weight", "bn2.weight", "bn2.bias"]
    assert starts == [
        ["conv_stem.weight", "bn1.weight", "bn1.bias"],
        *([f"blocks.{n}"] for n in range(6)),
        ["blocks.6", *head],
    ]


def test_every_stage_trains_where_no_number_is_set():
    encoder = build_image_encoder(settings_of())
    assert all(p.requires_grad for p in encoder.parameters())


def test_more_stages_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=r"num_trained_stages 99: the backbone has \d+ stages"):
        freeze_stages(build_image_encoder(settings_of()), 99)


def test_a_frozen_stem_leaves_the_trained_blocks_in_training_mode():
    encoder = build_image_encoder(settings_of(arguments={**VIT, "proj_drop_rate": 0.5}, num_trained_stages=1))
    hold_statistics(encoder.train(), keep_batch_norm=False)
    drops = [module for name, module in encoder.blocks.named_modules() if isinstance(module, torch.nn.Dropout)]
    assert drops
    assert all(module.training for module in drops)
    assert not encoder.patch_embed.proj.training


@pytest.mark.parametrize(("name", "expected"), [("vit_tiny_patch16_224", False), ("tf_efficientnet_lite0", True)])
def test_a_patch_embedding_alone_makes_no_convolutional_network(name, expected):
    assert is_convolutional(timm.create_model(name, num_classes=0)) == expected


@pytest.mark.parametrize(("name", "changed"), [("vit_tiny_patch16_224", False), ("tf_efficientnet_lite0", True)])
def test_weights_of_convolutional_networks_lie_channels_last(name, changed):
    encoder = build_image_encoder(ImageEncoderParams(name=name, image_size=32, weights="random", arguments=None))
    weights = [weight for weight in encoder.parameters() if weight.ndim == 4 and weight[0, 0].numel() > 1]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights) == changed
