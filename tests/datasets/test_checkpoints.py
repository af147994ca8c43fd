"""Folders of checkpoints."""

from dataclasses import replace

import pytest
import torch
from kedro.io import DatasetError, Version

from slimp_pipeline.datasets import CheckpointsDataset
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import ImageEncoderParams, LossParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding, LevelEncoding

LATEST = Version(None, None)


def checkpoint(value, size=3):
    empty = LevelEncoding(fields={})
    encoding = Encoding(lesion=empty, patient=empty, num_patients=2)
    return Checkpoint(
        {"weight": torch.full((size,), value)}, ModelParams(), LossParams(), encoding, {"cohort": "small"}
    )


@pytest.fixture
def make(tmp_path):
    return lambda version: CheckpointsDataset(filepath=str(tmp_path / "deep" / "encoders"), version=version)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("version", [None, LATEST])
def test_what_was_saved_is_loaded_by_partition(make, version):
    dataset = make(version)
    assert not dataset.exists()
    dataset.save({"fold_0": checkpoint(1.0), "fold_1": checkpoint(2.0)})
    assert dataset.exists()
    loaded = dataset.load()
    assert list(loaded) == ["fold_0", "fold_1"]
    assert loaded["fold_1"].state["weight"].tolist() == [2, 2, 2]
    assert loaded["fold_0"].facts == {"cohort": "small"}
    assert sorted(path.name for path in (dataset.folder() / "fold_0").iterdir()) == [
        "README.md",
        "config.json",
        "encoding.json",
        "model.safetensors",
        "slimp.safetensors",
    ]


def test_where_first_weights_lie_is_kept_beside_the_checkpoints_and_not_in_them(make):
    given = {"all": checkpoint(1.0), "fold_0": checkpoint(2.0)}
    image_encoder = ImageEncoderParams(weights="/home/anna/weights/vit.safetensors")
    given["all"] = replace(given["all"], model=ModelParams(image_encoder=image_encoder))
    dataset = make(LATEST)
    dataset.save(given)
    loaded = dataset.load()
    assert {name: one.model for name, one in loaded.items()} == {name: one.model for name, one in given.items()}
    files = [path for path in (dataset.folder() / "all").iterdir() if b"anna" in path.read_bytes()]
    assert not files and '"weights": "vit.safetensors"' in (dataset.folder() / "all/config.json").read_text()


def test_an_unversioned_folder_is_never_replaced(make):
    make(None).save({"fold_0": checkpoint(1.0), "fold_1": checkpoint(2.0)})
    with pytest.raises(DatasetError, match="is there already, and a folder is never replaced"):
        make(None).save({"all": checkpoint(3.0)})
    assert list(make(None).load()) == ["fold_0", "fold_1"]


def test_a_save_that_dies_leaves_the_previous_version_the_latest_and_no_debris(make, save_version, tmp_path):
    save_version(make, {"all": checkpoint(1.0)}, "v1")
    before = files(tmp_path)
    with pytest.raises(DatasetError):
        save_version(make, {"all": checkpoint(2.0), "broken": None}, "v2")
    assert files(tmp_path) == before
    assert make(LATEST).load()["all"].state["weight"].tolist() == [1, 1, 1]


def test_a_first_save_that_dies_leaves_nothing(make, save_version, tmp_path):
    with pytest.raises(DatasetError):
        save_version(make, {"broken": None}, "v1")
    assert not files(tmp_path) and not make(LATEST).exists()


def test_a_full_disk_is_named(make, save_version, small_disk, tmp_path):
    save_version(make, {"all": checkpoint(1.0)}, "v1")
    before = files(tmp_path)
    with small_disk(), pytest.raises(DatasetError, match=r"the disk is full.*previous version is whole"):
        save_version(make, {"all": checkpoint(2.0, size=20000)}, "v2")
    assert files(tmp_path) == before
