"""Pruning keeps what is needed, whatever runs there were, and removes nothing but whole versions."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimp_pipeline.housekeeping import prune
from slimp_pipeline.housekeeping.artifacts import artifacts
from slimp_pipeline.parameters import PruneParams
from slimp_pipeline.processes.whole import remove_left_over

RUNS = [f"2026-01-{day:02}T00.00.00.000Z" for day in range(1, 10)]
STORE, LINEAGE = "02_intermediate/a/as_source/image_store.json", "08_reporting/lineage.json"
EVALUATED = "08_reporting/b/evaluation_lineage.json"
ARTIFACTS = [
    "06_models/a/encoders",
    "06_models/b/encoders",
    "08_reporting/b/results.csv",
    "07_model_output/b/rows.parquet",
    STORE,
]
PACKED = ["one.arrow", "two.arrow", "three.arrow"]


@dataclass(frozen=True)
class Run:
    """What a run wrote, which images it packed, what it read."""

    wrote: list[str]
    packed: str
    reads: dict[str, str]
    pretrain: str | None


@st.composite
def histories(draw: st.DrawFn) -> dict[str, Run]:
    """Runs, each of which may read what earlier ones wrote."""
    runs: dict[str, Run] = {}
    for name in RUNS[: draw(st.integers(1, len(RUNS)))]:
        wrote = draw(st.lists(st.sampled_from(ARTIFACTS), min_size=1, unique=True))
        there = [(artifact, other) for other, run in runs.items() for artifact in run.wrote]
        reads = dict(draw(st.lists(st.sampled_from(there), max_size=3))) if there else {}
        trained = [other for other, run in runs.items() if ARTIFACTS[0] in run.wrote]
        pretrain = draw(st.sampled_from([None, *trained]))
        runs[name] = Run(wrote, draw(st.sampled_from(PACKED)), reads, pretrain)
    return runs


def put(data: Path, artifact: str, run: str, content: str) -> None:
    path = data / artifact / run / Path(artifact).name
    if "." not in path.name:  # a folder
        path = path / "model.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def write(data: Path, runs: dict[str, Run]) -> None:
    for name, run in runs.items():
        for artifact in run.wrote:
            put(data, artifact, name, json.dumps({"packed": run.packed}) if artifact == STORE else f"{artifact} {name}")
        put(data, LINEAGE, name, json.dumps({"run": name, "reads": {key: [read] for key, read in run.reads.items()}}))
        if run.pretrain:
            put(data, EVALUATED, name, json.dumps({"run": name, "pretrain": run.pretrain}))
    for name in PACKED:
        put(data / "02_intermediate/a", "image_store", "", "pictures")
        (data / "02_intermediate/a/image_store" / name).write_text("pictures")
    for name in runs:
        put(data, "07_model_output", "finished", "")
        (data / "07_model_output/finished" / f"{name}.json").write_text(json.dumps({"node": "n", "version": name}))


def is_whole(data: Path, artifact: str, run: str) -> bool:
    path = data / artifact / run / Path(artifact).name
    return (path / "model.safetensors").is_file() or path.is_file()


def pruned(data: Path, keep: int, named: dict[str, str] | None = None, *, remove: bool = True):
    chosen = PruneParams(keep=keep, remove=remove)
    return prune.remove_planned(data, prune.plan(data, chosen, named or {}), chosen, named or {})


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(1, 3), st.sets(st.sampled_from(RUNS), max_size=2))
def test_whatever_stays_is_whole_with_all_that_it_rests_on_and_nothing_else_stays(runs, keep, named):
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write(data, runs)
        ledger = pruned(data, keep, dict.fromkeys(named, "somebody named it"))
        stay = {name for name in runs if any(is_whole(data, artifact, name) for artifact in runs[name].wrote)}
        for artifact in ARTIFACTS:
            versions = [name for name in runs if artifact in runs[name].wrote]
            assert set(versions[-keep:]) <= stay
        assert set(list(runs)[-keep:]) | (named & runs.keys()) <= stay
        for name in stay:
            assert all(is_whole(data, artifact, name) for artifact in runs[name].wrote)
            assert all(is_whole(data, artifact, read) for artifact, read in runs[name].reads.items())
            assert runs[name].pretrain is None or is_whole(data, ARTIFACTS[0], runs[name].pretrain)
        needed = {runs[name].packed for name in stay if STORE in runs[name].wrote}
        assert {path.name for path in (data / "02_intermediate/a/image_store").glob("*.arrow")} == needed
        assert {path.stem for path in (data / "07_model_output/finished").glob("*.json")} == stay
        assert stay == oracle(runs, keep, named)
        gone = {str(row.run) for row in ledger.itertuples() if row.outcome == prune.REMOVED and row.run}
        assert gone == runs.keys() - stay
        assert all((data / row.path).exists() == (row.outcome == prune.KEPT) for row in ledger.itertuples())
        again = pruned(data, keep, dict.fromkeys(named, "somebody named it"))
        assert again["outcome"].eq(prune.KEPT).all() and not list(data.rglob(".unfinished-*"))


def oracle(runs: dict[str, Run], keep: int, named: set[str]) -> set[str]:
    """By definition, over and over until nothing is added."""
    own = {artifact: [n for n, run in runs.items() if artifact in run.wrote] for artifact in ARTIFACTS}
    own[EVALUATED] = [n for n, run in runs.items() if run.pretrain]
    own[LINEAGE] = list(runs)
    stay = {name for versions in own.values() for name in versions[-keep:]} | (named & runs.keys())
    while True:
        more = {read for name in stay for read in (*runs[name].reads.values(), runs[name].pretrain) if read} - stay
        if not more:
            return stay
        stay |= more


THREE = {name: Run([ARTIFACTS[2]], "one.arrow", {}, None) for name in RUNS[:3]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "data", THREE)
    return tmp_path / "data"


def test_unless_it_is_asked_for_nothing_is_removed_and_the_ledger_says_what_would_be(data):
    before = sorted(data.rglob("*"))
    ledger = pruned(data, 1, remove=False)
    assert sorted(data.rglob("*")) == before
    assert set(ledger.loc[ledger["outcome"] == prune.PLANNED, "run"]) == {*RUNS[:2], ""}
    assert "To remove it: the same command with --params=prune.remove=true" in prune.in_words(ledger)
    row = ledger.set_index("path").loc[f"{ARTIFACTS[2]}/{RUNS[0]}"]
    assert (row["size_bytes"], row["num_files"]) == (len(f"{ARTIFACTS[2]} {RUNS[0]}"), 1)


def test_links_are_not_followed_and_raw_data_and_what_is_no_version_stay(data, tmp_path):
    outside = tmp_path / "outside"
    write(outside, THREE)
    (data / "04_feature").symlink_to(outside)
    (data / "06_models/linked").mkdir(parents=True)
    (data / "06_models/linked" / RUNS[0]).symlink_to(outside / "08_reporting")
    for mine in (f"01_raw/clinic/photos/{RUNS[0]}/photo.jpg", "06_models/running/abc/step_1/state", "notes/mine.txt"):
        (data / mine).parent.mkdir(parents=True)
        (data / mine).write_text("mine")
    put(data, ARTIFACTS[0], RUNS[0], "weights")
    put(data, ARTIFACTS[0], RUNS[2], "weights")
    (data / ARTIFACTS[0] / RUNS[0] / "encoders/link").symlink_to(outside)
    before = sorted(path for path in outside.rglob("*"))
    assert not (pruned(data, 1)["path"].str.contains("clinic|running|mine|linked")).any()
    assert sorted(path for path in outside.rglob("*")) == before
    assert not (data / ARTIFACTS[0] / RUNS[0]).exists() and (data / "06_models/linked" / RUNS[0]).exists()
    assert (data / "06_models/running/abc/step_1/state").exists() and (data / "notes/mine.txt").exists()
    assert (data / f"01_raw/clinic/photos/{RUNS[0]}/photo.jpg").exists()


def test_a_version_that_a_killed_run_left_empty_takes_no_whole_ones_place(data):
    for artifact in (ARTIFACTS[2], LINEAGE):
        shutil.rmtree(data / artifact / RUNS[2])
        (data / artifact / RUNS[2]).mkdir()
    ledger = pruned(data, 1).set_index("path")
    assert is_whole(data, ARTIFACTS[2], RUNS[1]) and is_whole(data, LINEAGE, RUNS[1])
    assert ledger.loc[f"{ARTIFACTS[2]}/{RUNS[2]}", "outcome"] == prune.REMOVED


def test_a_run_stays_whole_if_a_folder_of_it_holds_what_no_run_wrote(data):
    (data / ARTIFACTS[2] / RUNS[0] / "my remarks.docx").write_text("mine")
    (data / ARTIFACTS[2] / RUNS[1] / ".DS_Store").touch()
    ledger = pruned(data, 1).set_index("path")
    assert (data / ARTIFACTS[2] / RUNS[0] / "my remarks.docx").exists() and is_whole(data, LINEAGE, RUNS[0])
    why = f"{ARTIFACTS[2]} of that run holds 'my remarks.docx', which no run wrote"
    assert ledger.loc[f"{LINEAGE}/{RUNS[0]}", "why"] == why
    assert not (data / ARTIFACTS[2] / RUNS[1]).exists()


def test_a_copy_beside_the_layers_is_somebodys_own(data):
    shutil.copytree(data, data / "archive 2026")
    before = sorted((data / "archive 2026").rglob("*"))
    assert not pruned(data, 1)["path"].str.startswith("archive").any()
    assert sorted((data / "archive 2026").rglob("*")) == before


@pytest.mark.parametrize("killed_at", [0, 1, 3])
def test_killed_midway_it_leaves_whole_versions_alone_and_the_next_run_clears_up(data, killed_at):
    child = os.fork()
    if not child:
        calls = iter(range(100))
        shutil.rmtree = lambda path: os._exit(9) if next(calls) == killed_at else os.system(f"rm -r {path}")
        pruned(data, 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert all(artifact.path(data).exists() for artifact in artifacts(data))
    assert is_whole(data, ARTIFACTS[2], RUNS[2])
    left = {folder for path in data.rglob(".unfinished-*") for folder in remove_left_over(path.parent)}
    assert len(left) == 1 and not list(data.rglob(".unfinished-*"))
    assert set(pruned(data, 1)["outcome"]) == {prune.KEPT, prune.REMOVED}


def test_what_cannot_be_removed_is_in_the_ledger_and_the_rest_goes(data, monkeypatch, caplog):
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == RUNS[0] and "results" in str(path):
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    ledger = pruned(data, 1).set_index("path")
    assert ledger.loc[f"{ARTIFACTS[2]}/{RUNS[0]}", "outcome"] == "couldn't be removed: Permission denied"
    assert ledger.loc[f"{ARTIFACTS[2]}/{RUNS[1]}", "outcome"] == prune.REMOVED
    assert "1 of " in caplog.text and is_whole(data, ARTIFACTS[2], RUNS[0])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"reads": null}', '{"reads": ["a"]}', f'{{"reads": {{"a": "{RUNS[0]}"}}}}']
)
def test_a_note_that_cannot_be_read_stops_it_before_anything_goes(data, text):
    (data / LINEAGE / RUNS[2] / "lineage.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"lineage\.json (can't be read|doesn't say what it should).* nothing was removed"
    ):
        pruned(data, 1)
    assert is_whole(data, ARTIFACTS[2], RUNS[0])


def test_what_has_come_to_be_needed_since_it_was_planned_stays(data):
    chosen = PruneParams(keep=1, remove=True)
    planned = prune.plan(data, chosen, {})
    ledger = prune.remove_planned(data, planned, chosen, {RUNS[0]: "models:/m@in_use is of it"})
    assert is_whole(data, ARTIFACTS[2], RUNS[0]) and not is_whole(data, ARTIFACTS[2], RUNS[1])
    assert set(ledger.loc[ledger["run"] == RUNS[0], "outcome"]) == {prune.KEPT}


def test_a_bucket_is_refused():
    with pytest.raises(ValueError, match="s3://bucket/data is a bucket, and only folders are pruned"):
        prune.local_folder("s3://bucket/data")
