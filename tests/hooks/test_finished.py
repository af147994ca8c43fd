"""A costly node gives what it gave before, byte for byte, and is run where anything that goes into it has changed."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from kedro.framework.hooks import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset, Version
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from slimp_pipeline.datasets import AtomicDataset, FilesDataset
from slimp_pipeline.hooks import finished
from slimp_pipeline.hooks.finished import FinishedHooks
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.parameters import IngestParams, LossParams, ModelParams
from slimp_pipeline.tables.encoding import Encoding


@pytest.fixture
def run(tmp_path):
    """Run one costly node as a run of its own; returns how often its function was called in all."""
    calls = []

    def compute(table: pd.DataFrame, settings: IngestParams) -> tuple[pd.DataFrame, dict[str, bytes]]:
        calls.append(1)
        return table.assign(third=table["number"] / 3), {"a.txt": b"text"}

    def start(version: str, table: pd.DataFrame, settings: IngestParams, tags: str = "costly") -> int:
        entry = {"type": "pandas.CSVDataset", "save_args": {"index": False}}
        catalog = DataCatalog(
            {
                "table": MemoryDataset(table),
                "settings": MemoryDataset(settings),
                "result": AtomicDataset(
                    filepath=str(tmp_path / "result.csv"), dataset=entry, version=Version(None, version)
                ),
                "files": FilesDataset(filepath=str(tmp_path / "files"), version=Version(None, version)),
            }
        )
        hooks, manager = FinishedHooks(), _create_hook_manager()
        manager.register(hooks)
        hooks.after_context_created(SimpleNamespace(project_path=tmp_path, config_loader={"globals": {"data": "data"}}))
        hooks.after_catalog_created(version)
        node = Node(compute, inputs=["table", "settings"], outputs=["result", "files"], name="compute", tags=tags)
        SequentialRunner().run(Pipeline([node]), catalog, manager)
        assert node.func is compute
        return len(calls)

    return start


TABLE = pd.DataFrame({"number": [0.1, 2.0, 1 / 3], "text": ["a", "=b", None]})


def test_a_finished_node_is_copied_byte_for_byte(run, tmp_path):
    assert run("v1", TABLE, IngestParams()) == 1
    assert run("v2", TABLE.copy(), IngestParams()) == 1
    for name in ("result.csv/{}/result.csv", "files/{}/files/a.txt"):
        assert (tmp_path / name.format("v1")).read_bytes() == (tmp_path / name.format("v2")).read_bytes()


@pytest.mark.parametrize(
    ("table", "settings"),
    [
        (TABLE.assign(number=[0.1, 2.0, 0.5]), IngestParams()),
        (TABLE.rename(columns={"number": "number", "text": "label"}), IngestParams()),
        (TABLE.iloc[::-1], IngestParams()),
        (TABLE.astype({"number": "float32"}), IngestParams()),
        (TABLE, IngestParams(jpeg_quality=90)),
    ],
)
def test_a_node_is_run_where_an_input_has_changed(run, table, settings):
    run("v1", TABLE, IngestParams())
    assert run("v2", table, settings) == 2


def test_a_node_is_run_where_the_code_has_changed(run, monkeypatch):
    run("v1", TABLE, IngestParams())
    monkeypatch.setattr(finished, "_code", lambda: "other code")
    assert run("v2", TABLE, IngestParams()) == 2


def test_a_node_is_run_where_an_artifact_is_gone(run, tmp_path):
    run("v1", TABLE, IngestParams())
    (tmp_path / "result.csv/v1/result.csv").unlink()
    assert run("v2", TABLE, IngestParams()) == 2


def test_a_damaged_note_is_no_note(run, tmp_path):
    run("v1", TABLE, IngestParams())
    (note,) = (tmp_path / "data/07_model_output/finished").iterdir()
    note.write_text("{")
    assert run("v2", TABLE, IngestParams()) == 2


def test_a_node_that_isnt_costly_is_run_every_time(run):
    run("v1", TABLE, IngestParams(), tags="cheap")
    assert run("v2", TABLE, IngestParams(), tags="cheap") == 2


DIFFERENT = [
    pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1]}), pd.DataFrame({"a": [1, 1]}),
    np.arange(4), np.arange(4.0), np.arange(4).reshape(2, 2), {"a": 1}, {"a": "1"}, {"a": np.arange(4)}, "a", 1, None,
    ["a"], go.Figure(go.Scatter(y=[1])), go.Figure(go.Scatter(y=[2])), IngestParams(), IngestParams(jpeg_quality=90),
]  # fmt: skip


def test_different_content_has_different_digests_and_equal_content_equal_ones():
    digests = [finished._digest(value) for value in DIFFERENT]
    assert None not in digests and len(set(digests)) == len(digests)
    assert finished._digest(pd.DataFrame({"a": [1]})) == digests[0]


def test_the_digest_of_an_encoder_hangs_on_no_order_of_its_weights():
    tensors = {"b": torch.zeros(2), "a": torch.ones(3)}
    one, other, changed = (
        Checkpoint(
            state, ModelParams(), LossParams(), Encoding(lesion={"fields": {}}, patient={"fields": {}}, num_patients=2)
        )
        for state in (tensors, dict(reversed(tensors.items())), tensors | {"a": torch.zeros(3)})
    )
    assert finished._digest(one) == finished._digest(other) != finished._digest(changed)


@pytest.mark.parametrize("value", [print, object(), {"a": print}])
def test_what_has_no_digest_isnt_remembered(value):
    assert finished._digest(value) is None
