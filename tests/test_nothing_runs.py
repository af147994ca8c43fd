"""Nothing that is read can run code: no pickle is read or written, no text evaluated, and no YAML names code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import ImageEncoderParams

REPOSITORY = Path(__file__).parents[1]
CODE = sorted(path for folder in ("src", "docs") for path in (REPOSITORY / folder).rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "code"}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "torch.load", "torch.save", "torch.jit.load", "torch.hub.load",
    "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle", "pandas.read_pickle",
    "os.system", "os.popen", "np.loads", "importlib.import_module", "runpy.run_path", "subprocess.getoutput",
}  # fmt: skip
# Processes of one training talk to each other so; nothing of it is stored, or read from elsewhere.
BETWEEN_PROCESSES = {f"src/slimp_pipeline/training/{name}.py" for name in ("ray_cluster", "messages", "devices")}
COUNTS_CPUS = "src/slimp_pipeline/processes/pool.py"
OWN_DATASETS = "slimp_pipeline.datasets."
DATASETS = {
    "MemoryDataset",
    "pandas.ParquetDataset",
    "json.JSONDataset",
    "plotly.JSONDataset",
    "text.TextDataset",
    "pillow.ImageDataset",
}


def dangers(tree: ast.AST) -> Iterator[str]:
    """What in a piece of code would read or write pickles, or run text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {option.arg: option.value for option in node.keywords}
            if called in FORBIDDEN_CALLS or called.endswith(".to_pickle"):
                yield called
            for option, harmless in (("allow_pickle", False), ("shell", False), ("weights_only", True)):
                value = options.get(option)
                if value is not None and not (isinstance(value, ast.Constant) and value.value is harmless):
                    yield f"{called}({option})"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from joblib import dump", "import torch\ntorch.load('a')", "eval(x)", "exec('a')",
        "np.load(f, allow_pickle=True)", "np.load(f, allow_pickle=x)", "subprocess.run('a', shell=True)",
        "yaml.load(text, Loader)", "frame.to_pickle('a')", "import os\nos.system('a')", "f(weights_only=False)",
    ],
)  # fmt: skip
def test_what_is_dangerous_is_found(code):
    assert list(dangers(ast.parse(code)))


def test_what_is_not_is_let_be():
    code = "model.eval(); re.compile('a'); np.load(f, allow_pickle=False); yaml.safe_load(t); subprocess.run(['a'])"
    assert not list(dangers(ast.parse(code)))


def test_no_code_of_ours_reads_or_writes_pickles_or_runs_text():
    assert len(CODE) > 150
    found = {}
    for path in CODE:
        name = path.relative_to(REPOSITORY).as_posix()
        there = set(dangers(ast.parse(path.read_text(encoding="utf-8"))))
        there -= {"pickle"} if name in BETWEEN_PROCESSES else set()
        there -= {"joblib", "joblib.externals.loky"} if name == COUNTS_CPUS else set()
        found |= {name: there} if there else {}
    assert found == {}


def test_only_guarded_tables_are_written_as_csv():
    """Cells that a spreadsheet would compute get an apostrophe: by CSVTableDataset and `csv_text` alone."""
    own = {"tables/csv_cells.py"}
    own |= {"cohorts/fabricated/writing.py", "cohorts/downloads/listing.py"}  # raw data, as they are
    own |= {"embedding/challenge.py"}  # what a challenge takes, to the letter
    for path in (REPOSITORY / "src/slimp_pipeline").rglob("*.py"):
        if re.search(r"\.to_csv\(|csv\.(Dict)?[wW]riter\(|\.to_excel\(", path.read_text(encoding="utf-8")):
            assert path.relative_to(REPOSITORY / "src/slimp_pipeline").as_posix() in own


def _keys(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield str(key), part
            yield from _keys(part)
    elif isinstance(value, list):
        for part in value:
            yield from _keys(part)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "conf").rglob("*.yml")), ids=lambda path: path.name)
def test_no_yaml_of_ours_names_code_but_the_catalogs_datasets(path):
    text = path.read_text(encoding="utf-8")
    assert "!!" not in text
    named = [str(value) for key, value in _keys(yaml.safe_load(text)) if key in ("type", "class", "_target_", "()")]
    if path.name.startswith("catalog"):
        assert all(name in DATASETS or name.startswith(OWN_DATASETS) for name in named)
        assert not any(name.endswith("CSVDataset") for name in named)
    else:
        assert named == (["logging.StreamHandler"] if path.name == "logging.yml" else [])


@pytest.mark.parametrize("key", ["type", "class", "_target_", "callable", "loader"])
def test_a_cohort_cannot_name_code(key):
    described = {
        "name": "a", "title": "a", "licence": "a", "source": "a", "folder": "a", "tables": {"file": "a.csv"},
        "image_id": "a", "fields": {},
    }  # fmt: skip
    assert CohortSpec.model_validate(described)
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        CohortSpec.model_validate(described | {key: "os.system"})


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "hf-hub:somebody/something"},
        {"name": "local-dir:/tmp/x"},
        {"name": "hf_hub:a/b"},
        {"arguments": {"pretrained": True}},
        {"arguments": {"checkpoint_path": "/tmp/x"}},
        {"arguments": {"pretrained_cfg": {"url": "https://example.org/x"}}},
        {"arguments": {"act_layer": {"_target_": "os.system"}}},
    ],
)
def test_a_checkpoints_settings_make_timm_fetch_and_read_nothing(settings):
    with pytest.raises(ValidationError):
        ImageEncoderParams.model_validate(settings)
