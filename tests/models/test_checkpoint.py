"""Checkpoint folders."""

import json
import os
import re
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file

from slimp_pipeline.models import checkpoint as checkpoints
from slimp_pipeline.models.checkpoint import read_checkpoint, write_checkpoint
from slimp_pipeline.models.image import build_image_encoder, normalisation


def test_a_checkpoint_comes_back_bit_for_bit(checkpoint, folder):
    back = read_checkpoint(folder)
    assert back.state.keys() == checkpoint.state.keys()
    assert all(torch.equal(back.state[name], value) for name, value in checkpoint.state.items())
    assert (back.model, back.loss, back.encoding, back.facts) == (
        checkpoint.model,
        checkpoint.loss,
        checkpoint.encoding,
        checkpoint.facts,
    )


def test_a_checkpoint_folder_holds_five_files_and_nothing_is_left_beside_it(folder):
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["README.md", "config.json", "encoding.json", "model.safetensors", "slimp.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["fold_0"]


def test_the_model_card_names_cohort_partition_fields_and_licence(folder):
    card = (folder / "README.md").read_text()
    for part in ("`clinic`", "`fold_0`", "abc123", "12 images of 5 patients", "age_years", "licence of the cohort"):
        assert part in card
    assert "Labels used in training: none" in card


def test_the_model_card_says_where_labels_were_used(checkpoint, tmp_path):
    used = replace(checkpoint, facts={**checkpoint.facts, "positive_sampling": True})
    write_checkpoint(used, tmp_path / "all")
    assert "malignant lesions were drawn first" in (tmp_path / "all" / "README.md").read_text()


def test_writing_again_replaces_the_checkpoint(checkpoint, folder):
    write_checkpoint(replace(checkpoint, facts={"cohort": "other"}), folder)
    assert read_checkpoint(folder).facts == {"cohort": "other"}
    assert [path.name for path in folder.parent.iterdir()] == ["fold_0"]


def test_a_write_that_fails_leaves_the_old_checkpoint_whole(checkpoint, folder, monkeypatch):
    def full_disk(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    changed = replace(checkpoint, facts={"cohort": "other"})
    for broken in ("save_file", "model_card"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match=r"disk is full: .*fold_0 wasn't written"):
            patch.setattr(checkpoints, broken, full_disk)
            write_checkpoint(changed, folder)
        assert read_checkpoint(folder).facts == checkpoint.facts
        assert read_checkpoint(folder.parent).facts == checkpoint.facts  # what is unfinished isn't found
    write_checkpoint(changed, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["fold_0"]


def test_a_format_of_another_version_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"slimp": config["slimp"] | {"format": 3}}))
    with pytest.raises(ValueError, match=r"has format 3; this version reads 2\. Upgrade"):
        read_checkpoint(folder)
    (folder / "config.json").write_text(json.dumps(config["slimp"] | {"format": 1}))  # as it was
    with pytest.raises(ValueError, match=r"has format 1; this version reads 2\. Write it anew: `kedro run"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vit_tiny_patch16_224", {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}),
        ("tf_efficientnet_lite0", None),
        ("resnet10t", None),
        ("convnext_atto", None),
    ],
)
def test_the_folder_loads_in_plain_timm_in_one_line_and_leaves_the_random_numbers_alone(
    checkpoint, tmp_path, name, arguments
):
    settings = checkpoint.model.image_encoder.model_copy(
        update={"name": name, "arguments": arguments, "image_size": 32}
    )
    encoder = build_image_encoder(settings).eval()
    state = {f"image_encoder.{key}": value for key, value in encoder.state_dict().items()}
    torch.manual_seed(5)
    write_checkpoint(
        replace(checkpoint, state=state, model=checkpoint.model.model_copy(update={"image_encoder": settings})),
        tmp_path / "all",
    )
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))
    loaded = timm.create_model(f"local-dir:{tmp_path / 'all'}", pretrained=True).eval()
    views = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(loaded(views), encoder(views))  # ours is channels_last
    seen = timm.data.resolve_model_data_config(loaded)
    assert (seen["input_size"], seen["crop_pct"], seen["interpolation"]) == ((3, 32, 32), 1.0, "bilinear")
    assert torch.equal(torch.tensor(seen["mean"]), normalisation(encoder)[0])


def test_a_folder_around_one_checkpoint_reads_it_and_around_several_names_them(checkpoint, folder):
    assert read_checkpoint(folder.parent.parent).facts == checkpoint.facts
    write_checkpoint(checkpoint, folder.parent / "fold_1")
    with pytest.raises(FileNotFoundError, match=r"is no checkpoint folder.*It holds: .*fold_0, .*fold_1"):
        read_checkpoint(folder.parent)


def test_a_folder_without_a_checkpoint_says_which_command_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="kedro run --pipeline=pretrain"):
        read_checkpoint(tmp_path / "nowhere")


def test_a_checkpoint_that_cannot_be_put_in_its_place_leaves_the_old_one_there(checkpoint, folder, monkeypatch):
    moved = os.replace

    def no_second_move(source, target):
        if ".unfinished-" in str(source):
            raise OSError("no")
        moved(source, target)

    monkeypatch.setattr(os, "replace", no_second_move)
    with pytest.raises(OSError, match="no"):
        write_checkpoint(replace(checkpoint, facts={"cohort": "other"}), folder)
    assert read_checkpoint(folder).facts == checkpoint.facts
    assert [path.name for path in folder.parent.iterdir()] == ["fold_0"]


def test_what_another_process_writes_stays_and_is_not_read(checkpoint, folder):
    for name in (".unfinished-host-1-1-fold_0", ".previous-host-1-1-fold_0", ".unfinished-fold_0"):
        write_checkpoint(checkpoint, folder.parent / name)
    write_checkpoint(checkpoint, folder.parent / ".unfinished-host-1-1-encoders" / "fold_0")
    before = sorted(path.name for path in folder.parent.iterdir())
    write_checkpoint(replace(checkpoint, facts={"cohort": "other"}), folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == before
    assert read_checkpoint(folder.parent).facts == {"cohort": "other"}


@pytest.mark.parametrize(
    "files",
    [
        ["thesis.docx"],
        ["config.json", "model.safetensors"],  # as model hubs have them
        ["config.json", "encoding.json", "model.safetensors", "slimp.safetensors", "README.md", "notes.txt"],
        ["deep/photo.jpg"],
    ],
)
def test_a_folder_that_is_no_checkpoint_is_never_replaced(checkpoint, tmp_path, files):
    for name in files:
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("mine")
    with pytest.raises(FileExistsError, match=r"mine is no checkpoint folder \(.+\), so it isn't replaced"):
        write_checkpoint(checkpoint, tmp_path / "mine")
    assert all((tmp_path / "mine" / name).read_text() == "mine" for name in files)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_is_not_replaced_and_an_empty_folder_is(checkpoint, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match=r"file is no checkpoint folder"):
        write_checkpoint(checkpoint, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    write_checkpoint(checkpoint, tmp_path / "empty")
    assert read_checkpoint(tmp_path / "empty").facts == checkpoint.facts


def test_a_link_to_a_checkpoint_is_read_and_written_through(checkpoint, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert read_checkpoint(tmp_path / "link").facts == checkpoint.facts
    write_checkpoint(replace(checkpoint, facts={"cohort": "other"}), tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and read_checkpoint(folder).facts == {"cohort": "other"}


def rewritten(change):
    """Damage: a change of what `config.json` holds."""

    def damage(file):
        config = json.loads(file.read_text())
        change(config["slimp"])
        file.write_text(json.dumps(config))

    return damage


DAMAGES = {
    "truncated settings": ("config.json", lambda f: f.write_text(f.read_text()[:-9]), r"is no JSON: .*line \d+"),
    "empty settings": ("config.json", lambda f: f.write_text(""), "is no JSON"),
    "deep settings": ("config.json", lambda f: f.write_text("[" * 99999), "is no JSON"),
    "settings in Latin-1": ("config.json", lambda f: f.write_bytes(b'{"format": "\xe4"}'), "is no UTF-8 text"),
    "a list": ("config.json", lambda f: f.write_text("[1]"), "isn't a checkpoint's: its `format` is None"),
    "no format": ("config.json", rewritten(lambda c: c.pop("format")), "its `format` is None, no whole number"),
    "a format in words": ("config.json", rewritten(lambda c: c.update(format="one")), "its `format` is 'one'"),
    "a true format": ("config.json", rewritten(lambda c: c.update(format=True)), "its `format` is True"),
    "no loss": ("config.json", rewritten(lambda c: c.pop("loss")), "can't be used: loss: Field required"),
    "no facts": ("config.json", rewritten(lambda c: c.update(facts=7)), "can't be used: facts: .*dictionary"),
    "an unknown setting": (
        "config.json",
        rewritten(lambda c: c["model"]["image_encoder"].update(magic=1)),
        r"can't be used: model\.image_encoder\.magic: Extra inputs",
    ),
    "a hub's name": (
        "config.json",
        rewritten(lambda c: c["model"]["image_encoder"].update(name="hf-hub:timm/resnet18")),
        r"can't be used: model\.image_encoder\.name: only names of timm's registry",
    ),
    "a path for timm": (
        "config.json",
        rewritten(lambda c: c["model"]["image_encoder"]["arguments"].update(checkpoint_path="/tmp/weights.bin")),
        r"model\.image_encoder\.arguments: 'checkpoint_path' is no argument of the architecture",
    ),
    "no encoding": ("encoding.json", lambda f: f.unlink(), "is missing"),
    "half an encoding": ("encoding.json", lambda f: f.write_text(f.read_text()[:40]), "is no encoding .*JSON"),
    "another's encoding": ("encoding.json", lambda f: f.write_text("{}"), "lesion: Field required; patient: Field"),
    "no weights": ("model.safetensors", lambda f: f.unlink(), "is missing"),
    "no other weights": ("slimp.safetensors", lambda f: f.unlink(), "is missing"),
    "weights twice": (
        "slimp.safetensors",
        lambda f: save_file({"image_encoder.norm.weight": torch.zeros(2)}, f),
        r"holds the image encoder's image_encoder\.norm\.weight, which model\.safetensors holds",
    ),
    "half the weights": ("model.safetensors", lambda f: f.write_bytes(f.read_bytes()[:-4]), "is truncated, or"),
    "no header": ("model.safetensors", lambda f: f.write_bytes(b""), "is truncated, or no safetensors file"),
    "a page": ("model.safetensors", lambda f: f.write_text("<html>not found</html>"), "is truncated, or no"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_says_which_file_has_what_and_what_to_do(folder, damage):
    name, break_it, reason = DAMAGES[damage]
    break_it(folder / name)
    with pytest.raises(ValueError, match=rf"fold_0: {re.escape(name)} .*{reason}.*Copy the folder again"):
        read_checkpoint(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_cannot_be_computed_with_are_refused_by_the_first_tensors_name(checkpoint, tmp_path, value):
    name = next(name for name, tensor in checkpoint.state.items() if tensor.is_floating_point() and tensor.ndim > 1)
    broken = checkpoint.state[name].clone()
    broken.view(-1)[-1] = value
    write_checkpoint(replace(checkpoint, state={**checkpoint.state, name: broken}), tmp_path / "broken")
    own = re.escape(name.removeprefix("image_encoder."))
    with pytest.raises(ValueError, match=rf"model\.safetensors can't be computed with: tensor {own} holds"):
        read_checkpoint(tmp_path / "broken")


def test_a_scalar_may_be_infinite_but_not_nan(checkpoint, tmp_path):
    for value in ("inf", "nan"):
        state = {"bound": torch.tensor(float(value)), "empty": torch.zeros(0, 3)}
        write_checkpoint(replace(checkpoint, state=state), tmp_path / value)
    assert read_checkpoint(tmp_path / "inf").state["bound"].isinf()
    with pytest.raises(ValueError, match="tensor bound holds NaN"):
        read_checkpoint(tmp_path / "nan")


def test_weights_of_a_shape_that_cannot_be_counted_are_refused_by_the_name_of_their_file(folder):
    head = b'{"x": {"dtype": "F32", "shape": [0, 4611686018427387904, 4611686018427387904], "data_offsets": [0, 0]}}'
    (folder / "slimp.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
    with pytest.raises(ValueError, match=r"slimp\.safetensors is truncated, or no safetensors file"):
        read_checkpoint(folder)
