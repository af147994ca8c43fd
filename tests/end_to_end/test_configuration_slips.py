"""What a user mistypes is answered by one sentence with its place, through the real command line."""

import subprocess

import pytest

COHORT = """\
mine:
  name: mine
  title: My clinic: 2019-2024
  licence: internal
  source: none
  folder: mine
  tables: [{file: lesions.csv}]
  image_id: photo
  label: {column: diagnosis, classes: {yes: malignant, "no": benign}, malignant: [malignant]}
  fields: {age_years: {kind: numeric, level: patient, column: age}}
"""
MINE = "conf/base/parameters/cohorts/mine.yml"
NO_FOLDER = COHORT.replace("My clinic: 2019-2024", "My clinic").replace("{yes:", '{"yes":')


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        (MINE, COHORT, f'{MINE}, line 3: a colon in a text without quotes: quote it, title: "My clinic: 2019-2024"'),
        ("conf/local/globals.yml", "source_cohort: [demo_tbp\n", "conf/local/globals.yml, line 1: a bracket is opened"),
        (MINE, COHORT.replace("clinic:", "clinic"), f"{MINE}, line 9: `classes`: YAML reads yes as True"),
    ],
)
def test_a_slip_in_a_file_is_one_sentence_before_anything_is_written(untouched, file, text, words):
    path = untouched.folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    done = untouched.call("run", "--pipelines=ingest", "--params=target_cohort=mine")
    assert f"error: {words}" in said(done) and not done.stdout
    assert not (untouched.folder / "mlflow.db").exists() and not (untouched.folder / "data").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--pipelines=pretrane"], "there is no pipeline 'pretrane'. Did you mean 'pretrain'"),
        (["--runner=ThreadRuner"], "there is no runner 'ThreadRuner'. Did you mean 'ThreadRunner'"),
    ],
)
def test_a_misspelt_option_is_one_sentence_that_names_what_there_is(fresh, options, words):
    assert words in said(fresh.call("run", *options))


def test_what_fails_within_a_step_is_said_once_and_with_the_steps_name(fresh):
    (fresh.folder / MINE).write_text(NO_FOLDER)
    done = fresh.call("run", "--pipelines=ingest", "--namespaces=target", "--params=target_cohort=mine")
    assert "(in target.provide_raw_files; SLIMP_TRACEBACK=1 shows where in the code)" in said(done)
    assert (done.stdout + done.stderr).count("data/01_raw/mine") == 1
