"""What a run notes of what it read."""

import json
from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.json import JSONDataset

from slimp_pipeline.hooks.lineage import LineageHooks
from slimp_pipeline.parameters import EmbeddingParams

RUN, EXPORTED = "2026-01-02T00.00.00.000Z", "2026-01-01T00.00.00.000Z"


@pytest.mark.parametrize("inside", [True, False])
def test_an_encoder_that_the_command_names_is_read_where_it_is_a_version_of_this_project(tmp_path, inside):
    data = tmp_path / "data"
    export = (data if inside else tmp_path / "elsewhere") / "06_models/a/exported_model" / EXPORTED / "exported_model"
    export.mkdir(parents=True)
    pipeline = Pipeline([Node(lambda settings: settings, inputs="params:embedding", outputs="asked", name="look")])
    asked = EmbeddingParams(images="photos", encoder=str(export))
    note = tmp_path / "lineage.json"
    catalog = DataCatalog({"params:embedding": MemoryDataset(asked), "run_lineage": JSONDataset(filepath=str(note))})
    hooks = LineageHooks()
    config = SimpleNamespace(config_loader={"globals": {"data": "data"}}, project_path=tmp_path)
    hooks.after_context_created(config)
    hooks.after_catalog_created(RUN)
    hooks.after_pipeline_run(pipeline, catalog)
    reads = {"06_models/a/exported_model": [EXPORTED]} if inside else {}
    assert json.loads(note.read_text()) == {"run": RUN, "reads": reads}
