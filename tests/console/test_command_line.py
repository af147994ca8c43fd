"""What Kedro refuses of a command line names what there is."""

import pytest
from kedro.pipeline import Pipeline, node
from kedro.utils import load_obj

from slimp_pipeline.console import command_line
from slimp_pipeline.console.command_line import command_line_in_words

PIPELINES = {
    "ingest": Pipeline([node(len, "raw_files", "lesions", name="read_lesions")], namespace="target"),
    "pretrain": Pipeline([node(len, "splits", "encoders", name="pretrain", namespace="pretrain")]),
}
PIPELINES["__default__"] = PIPELINES["ingest"] + PIPELINES["pretrain"]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "pipelines", PIPELINES)


def refused(**filters: object) -> str:
    with pytest.raises(ValueError) as error:
        PIPELINES["ingest"].filter(**filters)  # type: ignore[arg-type]
    return str(command_line_in_words(error.value))


def test_an_unknown_node_is_named_with_what_was_meant() -> None:
    words = refused(to_nodes=["target.read_lesion"])
    assert words.startswith("there is no node 'target.read_lesion'. Did you mean 'target.read_lesions'")
    assert "kedro registry describe" in words


def test_a_node_of_another_pipeline_is_told_from_an_unknown_one() -> None:
    assert "the chosen pipeline has no node 'pretrain.pretrain', another one has." in refused(
        node_names=["pretrain.pretrain"]
    )


def test_an_unknown_namespace_is_named_with_the_known_ones() -> None:
    words = refused(node_namespaces=["tagret"])
    assert words == "there is no namespace 'tagret'. Did you mean 'target'? Known: pretrain, target."


def test_an_unknown_dataset_is_named_with_what_was_meant() -> None:
    words = refused(from_inputs=["target.raw_file"])
    assert words.startswith("there is no dataset 'target.raw_file'. Did you mean 'target.raw_files'")


def test_an_unknown_tag_says_that_nothing_is_left_to_run() -> None:
    assert "nothing to run" in refused(tags=["nope"])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ValueError("Failed to find the pipeline named 'pretrane'. It needs ..."),
            "'pretrain'? Known: ingest, pretrain.",
        ),
        (ValueError("'load_versions' keys [encoder] are not found in the catalog."), "Did you mean 'encoders'?"),
        (TypeError("SequentialRunner.__init__() got an unexpected keyword argument 'max_workers'"), "--runner-params"),
        (AttributeError("The following datasets cannot be used with multiprocessing: ['a']"), "take ThreadRunner"),
    ],
)
def test_other_options_are_said_in_words(error: Exception, words: str) -> None:
    assert words in str(command_line_in_words(error))


@pytest.mark.parametrize("name", ["ThredRunner", "nowhere.Runner"])
def test_an_unknown_runner_is_named_with_the_known_ones(name: str) -> None:
    with pytest.raises((AttributeError, ModuleNotFoundError)) as error:
        load_obj(name, "kedro.runner")
    words = str(command_line_in_words(error.value, error.value.__traceback__))
    assert words.startswith("--runner: there is no runner") and "Known: SequentialRunner, ThreadRunner." in words


def test_other_errors_are_left_to_others() -> None:
    assert command_line_in_words(ValueError("rows are broken")) is None
    assert command_line_in_words(ModuleNotFoundError("No module named 'openpyxl'", name="openpyxl")) is None
