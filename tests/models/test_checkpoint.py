"""Checkpoint folders."""

import json
from dataclasses import replace

import pytest
import torch

from slimp_pipeline.models import checkpoint as checkpoints
from slimp_pipeline.models.checkpoint import read_checkpoint, write_checkpoint


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


def test_a_checkpoint_folder_holds_four_files_and_nothing_is_left_beside_it(folder):
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["README.md", "config.json", "encoding.json", "model.safetensors"]
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
    for broken in ("save_file", "_model_card"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
            patch.setattr(checkpoints, broken, full_disk)
            write_checkpoint(changed, folder)
        assert read_checkpoint(folder).facts == checkpoint.facts
        assert read_checkpoint(folder.parent).facts == checkpoint.facts  # what is unfinished isn't found
    write_checkpoint(changed, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["fold_0"]


def test_a_format_of_a_newer_version_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 2}))
    with pytest.raises(ValueError, match=r"has format 2; this version reads up to 1\. Upgrade"):
        read_checkpoint(folder)


def test_a_folder_around_one_checkpoint_reads_it_and_around_several_names_them(checkpoint, folder):
    assert read_checkpoint(folder.parent.parent).facts == checkpoint.facts
    write_checkpoint(checkpoint, folder.parent / "fold_1")
    with pytest.raises(FileNotFoundError, match=r"is no checkpoint folder.*It holds: .*fold_0, .*fold_1"):
        read_checkpoint(folder.parent)


def test_a_folder_without_a_checkpoint_says_which_command_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="kedro run --pipeline=pretrain"):
        read_checkpoint(tmp_path / "nowhere")
