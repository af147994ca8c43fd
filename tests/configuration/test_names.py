"""Names that don't exist, or exist twice, are refused with what was meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slimp_pipeline.configuration.check import CheckedConfiguration

Cohort = Callable[[str], str]
COHORTS = "conf/base/parameters/cohorts"


def refused(conf: Path, env: str = "local", **runtime_params: object) -> str:
    with pytest.raises(ValueError) as error:
        CheckedConfiguration(conf, env, runtime_params)
    return str(error.value)


def test_an_unknown_environment_is_named_with_those_there_are(conf: Path) -> None:
    assert refused(conf, "tset") == "there is no environment 'tset'. Did you mean 'test'? Known in conf/: test."


def test_a_missing_folder_local_is_named_with_the_command_that_makes_it(conf: Path) -> None:
    (conf / "local").rmdir()
    assert "mkdir conf/local" in refused(conf)


@pytest.mark.parametrize(("name", "meant"), [("trainig", "'training'"), ("Evaluation", "'evaluation'")])
def test_a_misspelt_block_of_an_environment_is_named_with_file_and_line(conf: Path, name: str, meant: str) -> None:
    (conf / "test/parameters_mine.yml").write_text(f"# mine\n{name}: {{seed: 1}}\n")
    words = f"conf/test/parameters_mine.yml, line 2: there is no parameter '{name}'. Did you mean {meant}?"
    assert refused(conf, "test") == words


def test_a_block_that_resembles_none_is_ones_own(conf: Path, cohort: Cohort) -> None:
    own = cohort("name: trainin").replace("mine", "trainin", 1)
    (conf / "local/parameters.yml").write_text("my_notes: {a: 1}\n" + own)
    CheckedConfiguration(conf, "local", {"my_notes": {"a": 2}})


def test_an_unknown_parameter_of_the_command_line_is_named_with_what_was_meant(conf: Path) -> None:
    assert refused(conf, trainig={}) == "--params: there is no parameter 'trainig'. Did you mean 'training'?"
    assert refused(conf, zzz=1).startswith("--params: there is no parameter 'zzz'. Known: adaptation, ")


@pytest.mark.parametrize(("name", "hint"), [("pad_ufes", "Did you mean 'pad_ufes_20'"), ("PH2", "Did you mean 'ph2'")])
def test_an_unknown_cohort_is_named_with_the_known_ones_and_near_matches(conf: Path, name: str, hint: str) -> None:
    words = refused(conf, target_cohort=name)
    assert words.startswith(f"--params: there is no cohort '{name}'. {hint}")
    assert "Known: demo_clinic, demo_tbp, " in words and COHORTS in words


def test_an_unknown_cohort_of_an_environment_is_named_with_its_line(conf: Path) -> None:
    (conf / "local/globals.yml").write_text("# roles\nsource_cohort: nevus_land\n")
    assert refused(conf).startswith("conf/local/globals.yml, line 2: there is no cohort 'nevus_land'.")


def test_a_parameter_that_describes_no_cohort_is_refused_as_one(conf: Path) -> None:
    assert "`training` is no cohort: a cohort names the column `image_id`" in refused(conf, target_cohort="training")
    assert "there is no cohort ''" in refused(conf, target_cohort=None)


def test_a_cohort_to_be_downloaded_is_looked_for_like_those_in_a_role(conf: Path) -> None:
    assert "--params: there is no cohort 'ham1000'. Did you mean 'ham10000'" in refused(conf, cohort="ham1000")


@pytest.mark.parametrize(
    ("file", "env", "words"),
    [
        ("base/mine.yml", "local", "lies outside `parameters`"),
        ("base/cohorts/mine.yml", "local", "lies outside `parameters`"),
        ("base/parameters/cohorts/mine.yml.txt", "local", "its name has to end in .yml"),
        ("local/parameters/cohorts/mine.yml", "test", "with --env=test it isn't"),
        ("test/parameters/cohorts/mine.yml", "local", "it is with --env=test alone"),
    ],
)
def test_a_cohort_that_is_described_where_nothing_is_read_is_found(
    conf: Path, cohort: Cohort, file: str, env: str, words: str
) -> None:
    (conf / file).parent.mkdir(parents=True, exist_ok=True)
    (conf / file).write_text(cohort(""))
    said = refused(conf, env, target_cohort="mine")
    assert f"conf/{file} describes it and isn't read: " in said and words in said


def test_a_cohort_in_two_files_of_one_environment_is_refused_with_both(conf: Path, cohort: Cohort) -> None:
    (conf / "base/parameters/cohorts/mine.yml").write_text(cohort(""))
    (conf / "base/parameters/cohorts/copy.yml").write_text("# a copy\nmine: {image_id: x}\n")
    words = f"{COHORTS}/mine.yml, line 1: `mine` stands in {COHORTS}/copy.yml, line 2, too: remove one of them"
    assert refused(conf) == words


def test_a_setting_or_a_dataset_in_two_files_of_one_environment_is_refused(conf: Path) -> None:
    (conf / "base/parameters_zzz.yml").write_text("training:\n  seed: 1\n")
    (conf / "base/catalog_zzz.yml").write_text("results: {type: pandas.CSVDataset}\n")
    words = refused(conf)
    assert "conf/base/parameters_zzz.yml, line 2: `training.seed` stands in conf/base/parameters_pretrain.yml" in words
    assert "conf/base/catalog_zzz.yml, line 1: `results` stands in conf/base/catalog_evaluate.yml" in words


def test_two_files_may_share_a_block_and_an_environment_may_repeat_what_base_says(conf: Path) -> None:
    (conf / "base/parameters_zzz.yml").write_text("training: {mine: 1}\n")
    (conf / "test/parameters_zzz.yml").write_text("training: {learning_rate: 0.1}\n")
    CheckedConfiguration(conf, "test", {})


def test_a_list_in_the_place_of_a_block_of_base_is_refused(conf: Path) -> None:
    (conf / "local/parameters.yml").write_text("training: {sampler: [a]}\n")
    assert "conf/local/parameters.yml, line 1: `sampler` is a list here and a block in conf/base/" in refused(conf)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: mine\ntitle: x\nimage_id: y\n", 2, "`title` stands at the margin"),
        ("mine:\n  name: mine\nfields:\n  a: {}\n", 3, "`fields` stands at the margin"),
        ("my.clinic:\n  image_id: x\n", 1, "letters, digits, - and _: my.clinic"),
        ("2020:\n  image_id: x\n", 1, '2020 without quotes isn\'t read as a name: put it in quotes, "2020"'),
    ],
)
def test_a_cohort_with_a_name_that_cannot_be_used_is_refused(conf: Path, text: str, line: int, words: str) -> None:
    (conf / "base/parameters/cohorts/mine.yml").write_text(text)
    said = refused(conf)
    assert f"{COHORTS}/mine.yml, line {line}: " in said and words in said


@pytest.mark.parametrize("folder", [COHORTS, "conf/base"])
def test_an_empty_name_is_refused(conf: Path, folder: str) -> None:
    file = conf.parent / folder / ("odd.yml" if folder == COHORTS else "parameters_odd.yml")
    file.write_text("my_notes: 1\n'': null\n" if folder == "conf/base" else "'': null\n")
    assert "a name is empty: write it before the colon" in refused(conf)


def test_the_name_of_the_file_need_not_be_the_cohorts(conf: Path, cohort: Cohort) -> None:
    (conf / "base/parameters/cohorts/whatever.yml").write_text(cohort(""))
    CheckedConfiguration(conf, "local", {"target_cohort": "mine"})


def test_what_starts_with_an_underscore_is_no_cohort(conf: Path, cohort: Cohort) -> None:
    (conf / "base/parameters/cohorts/mine.yml").write_text("_shared: {sex: {column: sex}}\n" + cohort(""))
    assert "`_shared` is no cohort" in refused(conf, target_cohort="_shared")


def test_a_source_of_configuration_that_is_no_folder_is_left_to_kedro(tmp_path: Path) -> None:
    CheckedConfiguration(tmp_path / "conf.tar.gz", "local", {"anything": 1})


def test_a_copied_cohort_that_kept_its_name_is_refused(conf: Path, cohort: Cohort) -> None:
    (conf / "base/parameters/cohorts/mine.yml").write_text(cohort("name: demo_clinic"))
    assert "mine.yml, line 2: the cohort `mine` calls itself `demo_clinic`" in refused(conf)


def test_the_place_of_artifacts_is_no_parameter(conf: Path) -> None:
    assert refused(conf, data="s3://bucket/data").startswith("--params: `data` is set by SLIMP_DATA, or in conf/<env>")
