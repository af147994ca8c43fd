"""What a new user reads and types, in short; `make new-user` walks all of it in an empty folder."""

import ast
import contextlib
import functools
import json
import os
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import yaml

from new_user.documented import commands_of, steps_of
from new_user.printed import differences
from new_user.walk import PAGES, User
from slimp_pipeline.cli import run, study
from slimp_pipeline.pipeline_registry import register_pipelines
from slimp_pipeline.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

REPOSITORY = Path(__file__).parents[2]
README, TUTORIAL = (REPOSITORY / name for name in PAGES)
NOTEBOOK = REPOSITORY / "docs/notebook/use_an_encoder.ipynb"
DOCUMENTED = [README, REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
READERS_OWN = {"my_clinic"}  # cohorts


def test_the_readme_shows_what_a_run_prints_at_its_end(finished):
    _, done = finished
    demo = steps_of(README)[0]
    assert demo.text.startswith("make demo") and demo.said
    assert differences(demo.said, done.stdout + done.stderr, any_number=True) == []


def test_quick_steps_of_the_tutorial_print_what_it_says(copy_of_finished):
    project = copy_of_finished()
    own = {"KEDRO_ENV": "test", "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", "PYTHONPATH": f"{REPOSITORY}/src"}
    user = User(project.folder, project._environment() | own, any_number=True)
    steps = [step for step in steps_of(TUTORIAL) if step.quick]
    assert steps
    for step in steps:
        assert user.run(step) == [], step.place


def test_the_notebook_runs(finished, monkeypatch):
    project, _ = finished
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5
    names: dict[str, object] = {}
    with contextlib.chdir(project.folder):
        for cell in cells:
            body = ast.parse("".join(cell["source"])).body
            shown = body.pop() if isinstance(body[-1], ast.Expr) else None
            exec(compile(ast.Module(body, []), str(NOTEBOOK), "exec"), names)
            if shown:
                names["shown"] = eval(compile(ast.Expression(shown.value), str(NOTEBOOK), "eval"), names)
    assert names["embedding_ND"].shape == (len(names["lesions"]), names["backbone"].num_features)
    assert set(names["lesions"].loc[names["nearest"], "patient_id"]).isdisjoint(
        {names["lesions"]["patient_id"][names["query"]]}
    )
    assert len(names["scores"]) == 3  # folds of the environment `test`


def documented_commands():
    found = {command: page.name for page in DOCUMENTED for command in commands_of(page)}
    return {command: page for command, page in found.items() if re.search(r"\b(kedro (run|study)|make) ?", command)}


def parsed(command):
    """Program, its options as its own parser reads them, and the variables before it."""
    words = shlex.split(command, comments=True)
    while words and re.match(r"\w+=", words[0]):
        words.pop(0)
    return words


def test_every_command_in_the_docs_is_one_that_there_is():
    pipelines, settings = register_pipelines(), {}
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    cohorts = (REPOSITORY / "conf/base/parameters/cohorts").glob("*.yml")
    known = {name for path in cohorts for name in yaml.safe_load(path.read_text(encoding="utf-8"))}
    for command, page in documented_commands().items():
        words = parsed(command)
        if words[:1] == ["make"]:
            assert words[1] in targets, (page, command)
        if words[:2] not in (["kedro", "run"], ["kedro", "study"]):
            continue
        with (run if words[1] == "run" else study).make_context(words[1], words[2:], obj=SimpleNamespace()) as context:
            given = context.params
        names = [given.get("pipeline"), *(given.get("pipelines") or ())]
        assert {name for name in names if name} <= pipelines.keys(), (page, command)
        roles = [given["params"].pop(role, "hiba") for role in ("source_cohort", "target_cohort", "cohort")]
        assert {name for role in roles for name in role.split("+")} <= known | READERS_OWN, (page, command)
        settings.setdefault(given["env"], []).append(flattened(given["params"]))
    assert sum(map(len, settings.values())) > 30
    for env, several in settings.items():
        for together in packed(several):
            params = {}
            for path, value in together.items():
                functools.reduce(lambda level, name: level.setdefault(name, {}), path[:-1], params)[path[-1]] = value
            loader = CONFIG_LOADER_CLASS(str(REPOSITORY / "conf"), env, runtime_params=params, **CONFIG_LOADER_ARGS)
            assert loader["parameters"], (env, params)  # as a run does, it refuses what it doesn't know


def flattened(params, path=()):
    """Settings by their place."""
    if not isinstance(params, dict):
        return {path: params}
    return {place: value for name, below in params.items() for place, value in flattened(below, (*path, name)).items()}


def packed(several):
    """The same settings, of several commands together as long as none sets what another sets otherwise."""
    packs = []
    for settings in several:
        fits = (pack for pack in packs if all(pack.get(place, value) == value for place, value in settings.items()))
        if (pack := next(fits, None)) is None:
            packs.append(dict(settings))
        else:
            pack.update(settings)
    return packs
