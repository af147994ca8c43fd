"""A run reads artifacts that belong together: each stage's as one run left them, and with what that run rested on."""

import logging
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from kedro.io import DataCatalog, MemoryDataset, Version
from kedro.pipeline import Node, Pipeline

from slimp_pipeline.datasets import AtomicDataset, FilesDataset
from slimp_pipeline.hooks import artifacts
from slimp_pipeline.hooks.pins import pins_of
from slimp_pipeline.parameters import TrainingParams
from slimp_pipeline.pipelines.export.pipeline import IF_THERE
from slimp_pipeline.processes.whole import temporary_name

OUTPUTS = {
    "evaluate": {"results", "predictions", "evaluation_lineage"},
    "extrapolate": {"borrowed"},
    "pretrain": {"encoders", "history"},
}
EVALUATED = ("results", "predictions", "evaluation_lineage")


def dataset(folder: Path, name: str, version: str | None = None) -> AtomicDataset:
    kind = {"type": "json.JSONDataset"}
    return AtomicDataset(filepath=str(folder / f"{name}.json"), dataset=kind, version=Version(None, version))


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    return DataCatalog({name: dataset(tmp_path, name) for names in OUTPUTS.values() for name in names})


@pytest.fixture
def leave(tmp_path: Path):
    """Write artifacts of a version, as another run would."""

    def write(version: str, *names: str, pretrain: str = "") -> None:
        for name in names:
            content = {"run": version, "pretrain": pretrain} if name == "evaluation_lineage" else f"{name} of {version}"
            dataset(tmp_path, name, version).save(content)

    return write


def pins(catalog: DataCatalog, *names: str, **asked: str) -> dict[str, str]:
    return pins_of(set(names), asked, OUTPUTS, catalog)


def test_the_newest_run_that_left_everything_is_read(catalog, leave):
    leave("v1", "encoders", "history")
    leave("v2", "encoders", "history")
    assert pins(catalog, "encoders", "history") == {"encoders": "v2", "history": "v2"}


def test_a_run_that_was_killed_half_way_is_passed_over_and_named(catalog, leave, caplog):
    leave("v1", *EVALUATED, pretrain="v0")
    leave("v2", "predictions")
    with caplog.at_level(logging.WARNING):
        assert set(pins(catalog, "results", "predictions").values()) == {"v1"}
    assert (
        "The run of v2 left no results: it was of another pipeline, or didn't end. That of v1 is read." in caplog.text
    )


def test_what_an_evaluation_rests_on_is_read_with_it_though_a_newer_training_is_there(catalog, leave):
    leave("v1", "encoders", "history")
    leave("v2", *EVALUATED, pretrain="v1")
    leave("v3", "encoders", "history")
    assert pins(catalog, "results", "history") == {"results": "v2", "history": "v1"}
    assert pins(catalog, "encoders") == {"encoders": "v3"}


def test_a_run_that_did_both_is_read_as_one(catalog, leave):
    leave("v1", *EVALUATED, "encoders", "history", pretrain="v1")
    assert set(pins(catalog, "results", "history").values()) == {"v1"}


def test_a_training_that_is_gone_is_named(catalog, leave):
    leave("v1", *EVALUATED, pretrain="v0")
    leave("v3", "history")
    with pytest.raises(FileNotFoundError, match="newest evaluation, of v1, rests on the run of v0, of which history"):
        pins(catalog, "results", "history")


def test_an_evaluation_of_another_sources_encoders_is_passed_over_and_named(catalog, leave, caplog):
    leave("v1", "encoders", "history")
    leave("v2", *EVALUATED, pretrain="v1")
    leave("v4", *EVALUATED, pretrain="v3")  # whose encoders lie under the other source
    with caplog.at_level(logging.WARNING):
        assert pins(catalog, "results", "history") == {"results": "v2", "history": "v1"}
    assert "The newest evaluation, of v4, rests on the run of v3, of which history isn't there" in caplog.text
    assert pins(catalog, "results") == {"results": "v4"}  # nothing of a pre-training is read


def test_an_evaluation_is_read_that_rests_on_the_encoders_asked_for(catalog, leave):
    for version in ("v1", "v2"):
        leave(version, "encoders", "history")
    leave("v3", *EVALUATED, pretrain="v1")
    leave("v4", *EVALUATED, pretrain="v2")
    assert pins(catalog, "results", "history", encoders="v1") == {"results": "v3", "history": "v1"}
    with pytest.raises(
        FileNotFoundError, match=r"no evaluation rests on the run of v9, which is asked for\. .* of v4, .* of v2\. "
    ):
        pins(catalog, "results", "history", encoders="v9")


def test_an_evaluation_that_noted_nothing_is_read_with_the_newest_training(catalog, leave):
    leave("v1", "encoders", "history")
    leave("v2", "results")
    assert pins(catalog, "results", "history") == {"results": "v2", "history": "v1"}


def test_artifacts_that_no_run_left_together_are_refused(catalog, leave):
    leave("v1", "encoders")
    leave("v2", "history")
    with pytest.raises(FileNotFoundError, match="no run has left all of encoders, history: the run of v2 left no"):
        pins(catalog, "encoders", "history")
    with pytest.raises(FileNotFoundError, match="no run has left all of borrowed: nothing is there"):
        pins(catalog, "borrowed")


def test_a_version_that_is_asked_for_holds_for_the_whole_stage(catalog, leave):
    for version in ("v1", "v2"):
        leave(version, "encoders", "history")
        leave(version, *EVALUATED, pretrain="v2")
    assert pins(catalog, "history", encoders="v1") == {"history": "v1"}
    assert pins(catalog, "predictions", "history", results="v1") == {"predictions": "v1", "history": "v2"}
    with pytest.raises(FileNotFoundError, match="rests on the run of v9"):
        pins(catalog, "history", encoders="v9")


def test_temporary_files_of_dead_processes_are_removed_and_raw_data_is_left_alone(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    name = temporary_name(tmp_path / "x").name.replace(f"-{os.getpid()}-", f"-{process.pid}-")
    places = ["06_models/c/encoders/v1", "01_raw", "01_raw/listings/c"]
    mine = ["01_raw/my_clinic", "01_raw/my_clinic/photos"]
    for place in (*places, *mine):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / name).write_text("half")
    removed = list(artifacts._left_over(tmp_path))
    assert sorted(path.parent.relative_to(tmp_path).as_posix() for path in removed) == sorted(places)
    assert all((tmp_path / place / name).exists() for place in mine)


def export_of(folder: Path, **asked: str) -> tuple[tuple[str, ...], set[str]]:
    """What an export does without, and the versions that it reads of an evaluation."""
    names = ("encoders", "training_rows", *IF_THERE, "evaluation_lineage")
    catalog = DataCatalog({name: dataset(folder, name) for name in names})
    read = {name: catalog[name] for name in names if name != "evaluation_lineage"}
    for name, version in asked.items():
        read[name].pin(version)
    pipeline = Pipeline([Node(print, inputs="encoders", outputs=None, name="export_model", namespace="export")])
    nothing = artifacts._absent(pipeline, read, catalog)
    outputs = {"evaluate": {*IF_THERE, "evaluation_lineage"}, "extrapolate": set(), "pretrain": set(names[:2])}
    found = pins_of(set(read) - {*nothing, *asked}, asked, outputs, catalog)
    return nothing, {found[name] for name in IF_THERE if name in found}


def test_an_export_takes_the_newest_evaluation_of_its_encoders_or_none(tmp_path, leave):
    pretrained, evaluated = ("encoders", "training_rows"), (*IF_THERE, "evaluation_lineage")
    leave("v1", *pretrained)
    leave("v3", *evaluated, pretrain="v2")  # of another source
    assert export_of(tmp_path) == (IF_THERE, set())
    leave("v4", *evaluated, pretrain="v1")
    leave("v6", *evaluated, pretrain="v5")
    assert export_of(tmp_path) == ((), {"v4"})
    leave("v7", *pretrained)
    assert export_of(tmp_path, encoders="v7") == (IF_THERE, set())
    assert export_of(tmp_path, encoders="v1") == ((), {"v4"})
    assert export_of(tmp_path, results="v4") == ((), {"v4"})


@pytest.mark.parametrize(("stage", "refused"), [("pretrain", True), ("adapt", True), ("evaluate", False)])
def test_devices_that_are_not_there_are_refused_before_anything_of_a_training_runs(monkeypatch, stage, refused):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    catalog = DataCatalog({"params:training": MemoryDataset(TrainingParams(device="cuda", devices=3))})
    pipeline = Pipeline([Node(print, inputs="params:training", outputs=None, name=stage, namespace=stage)])
    with pytest.raises(ValueError, match="has 2 cuda devices") if refused else nullcontext():
        artifacts._require_devices(pipeline, catalog)


def test_an_inspection_does_without_encoders_where_there_are_none_and_reads_them_where_there_are(catalog, leave):
    pipeline = Pipeline([Node(print, inputs="encoders", outputs=None, name="embed_pictures", namespace="inspect")])
    read = {"encoders": catalog["encoders"]}
    assert artifacts._absent(pipeline, read, catalog) == ("encoders",)
    assert artifacts._absent(pipeline, {}, catalog) == ()  # they are trained in the same run
    leave("v1", "encoders")
    assert artifacts._absent(pipeline, read, catalog) == ()


def test_an_embedding_reads_the_newest_export_unless_the_command_names_one_or_there_is_none(tmp_path):
    export = FilesDataset(filepath=str(tmp_path / "exported_model"), version=Version(None, "v1"))
    catalog = DataCatalog({"exported_model": export, "params:embedding": MemoryDataset({"images": "photos"})})
    pipeline = Pipeline([Node(print, inputs="exported_model", outputs=None, name="embed_folder", namespace="embed")])
    read = {"exported_model": catalog["exported_model"]}
    assert artifacts._absent(pipeline, read, catalog) == ("exported_model",)
    export.save({"config.json": b"{}"})
    assert artifacts._absent(pipeline, read, catalog) == ()
    catalog["params:embedding"] = MemoryDataset({"images": "photos", "encoder": "elsewhere"})
    assert artifacts._absent(pipeline, read, catalog) == ("exported_model",)
