"""The whole pipeline through the real command line, on fabricated cohorts."""

import base64
import contextlib
import doctest
import json
import os
import re
import signal
import time
from pathlib import Path

import h5py
import mlflow
import pandas as pd
import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project
from kedro.io import AbstractDataset

from slimp_pipeline.settings import CONFIG_LOADER_ARGS

RESULT_COLUMNS = [
    "cohort", "method", "features", "protocol", "shots", "draw", "metric", "value", "ci_low", "ci_high",
    "num_train_patients", "num_test_patients",
]  # fmt: skip


def test_one_command_leaves_every_artifact(finished):
    project, _ = finished
    for path in (
        "03_primary/demo_clinic/lesions.parquet",
        "03_primary/demo_clinic/quarantine.csv",
        "03_primary/demo_tbp/as_source/manifest.json",
        "04_feature/demo_clinic/encodings.json",
        "05_model_input/demo_clinic/splits.csv",
        "06_models/demo_tbp/encoders",
        "06_models/demo_tbp/history.parquet",
        "06_models/demo_clinic/adapted_encoders",
        "07_model_output/demo_clinic/embeddings.safetensors",
        "07_model_output/demo_clinic/seen_pictures.csv",
        "08_reporting/demo_clinic/predictions.parquet",
        "08_reporting/demo_clinic/robustness.csv",
        "08_reporting/demo_clinic/fields_read.csv",
        "08_reporting/demo_clinic/missingness.csv",
        "08_reporting/demo_clinic/subgroups.csv",
        "08_reporting/demo_clinic/report.html",
    ):
        assert project.latest(path).exists(), path
    results = pd.read_csv(project.latest("08_reporting/demo_clinic/results.csv"))
    assert list(results.columns) == RESULT_COLUMNS
    baselines = {"metadata_linear", "metadata_gbdt", "ugly_duckling_gbdt", "fused_gbdt", "chance", "chance_adapted"}
    assert set(results["method"]) == {"slimp", "slimp_adapted", "random_init", "random_init_adapted"} | baselines
    assert set(results["draw"].astype(str)) == {"0", "1", "2", "all"}
    assert {"linear_probe", "knn", "baseline", "low_shot", "retrieval"} < set(results["protocol"])


def test_the_console_ends_with_findings_and_places_and_has_no_noise(finished):
    _, done = finished
    lines = done.stdout.rstrip().splitlines()
    tail = lines[lines.index("") :]
    assert len(tail) <= 15
    assert any("slimp - random_init" in line for line in tail)
    assert any(line.startswith("Report:") for line in tail)
    assert any("mlflow ui" in line for line in tail) and any("kedro viz" in line for line in tail)
    noise = re.compile("warn|deprecat|error", re.IGNORECASE)
    assert not [line for line in (done.stdout + done.stderr).splitlines() if noise.search(line)]


def test_nothing_is_pickled(finished):
    project, _ = finished
    files = [path for path in (project.folder / "data").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {
        ".parquet", ".csv", ".json", ".safetensors", ".arrow", ".html", ".md", ".hdf5", ".png", ".svg", "",
        ".lock", ".holder", ".jsonl",
    }  # fmt: skip
    assert not [path for path in files if path.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05")]


def test_no_patient_is_in_two_folds_and_none_that_is_tested_was_trained_on(finished):
    project, _ = finished
    splits = pd.read_csv(project.latest("05_model_input/demo_clinic/splits.csv"))
    assert splits.groupby("patient_id")["fold"].nunique().max() == 1


def test_mlflow_has_parameters_curves_results_tags_and_artifacts(finished):
    project, _ = finished
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    client = mlflow.MlflowClient()
    (run,) = mlflow.search_runs(experiment_names=["slimp-test"], output_format="list")
    assert run.info.status == "FINISHED"
    assert run.data.params["model.image_encoder.arguments.patch_size"] == "8"
    assert run.data.params["target.cohort"] == "demo_clinic"
    assert run.data.tags["target_fingerprint"] and run.data.tags["git_commit"]
    assert run.data.tags["trained_encoders"] == run.data.tags["encoders"]
    curve = client.get_metric_history(run.info.run_id, "pretrain/all/validation_loss")
    assert [point.step for point in curve] == sorted(point.step for point in curve) and len(curve) == 2
    assert "slimp/image/linear_probe/balanced_accuracy" in run.data.metrics
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"report.html", "results.csv", "figures"} <= names


def test_the_logged_model_embeds_a_picture_that_comes_with_the_request(finished):
    project, _ = finished
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    experiment = mlflow.get_experiment_by_name("slimp-test").experiment_id
    (model,) = mlflow.search_logged_models(experiment_ids=[experiment], output_format="list")
    picture = sorted((project.folder / "data/01_raw/test/demo_clinic/images").glob("*.png"))[0]
    with contextlib.chdir(project.folder):  # wherever it is called
        loaded = mlflow.pyfunc.load_model(model.model_uri)
    told = loaded.predict(pd.DataFrame({"image": [base64.b64encode(picture.read_bytes()).decode()]}))
    assert list(told) == ["embedding", "lesion_embedding", "patient_embedding"]
    assert len(told["embedding"][0]) == 32


def test_the_documented_example_works(finished):
    project, _ = finished
    folder = project.latest("06_models/demo_tbp/encoders") / "all"
    paths = sorted((project.folder / "data/01_raw/test/demo_clinic/images").glob("*.png"))[:2]
    page = Path(__file__).parents[2] / "docs/hand_over/use_the_encoder.md"
    outcome = doctest.testfile(str(page), module_relative=False, globs={"folder": folder, "paths": paths})
    assert outcome.attempted >= 8 and outcome.failed == 0


def test_running_again_packs_and_trains_nothing_anew_and_keeps_the_old_versions(copy_of_finished, caplog):
    project = copy_of_finished()
    stores = {path: path.stat().st_mtime_ns for path in (project.folder / "data/02_intermediate").rglob("*.arrow")}
    before = pd.read_csv(project.latest("08_reporting/demo_clinic/results.csv"))
    with caplog.at_level("INFO", logger="slimp_pipeline"):
        project.run()
    assert "has ended, at step" in caplog.text
    assert {p: p.stat().st_mtime_ns for p in (project.folder / "data/02_intermediate").rglob("*.arrow")} == stores
    assert project.versions("08_reporting/demo_clinic/results.csv") == 2
    pd.testing.assert_frame_equal(pd.read_csv(project.latest("08_reporting/demo_clinic/results.csv")), before)


def test_evaluate_alone_rests_on_the_earlier_pretraining_and_says_so(copy_of_finished):
    project = copy_of_finished()
    project.run("evaluate")
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    runs = mlflow.search_runs(experiment_names=["slimp-test"], output_format="list")
    by_name = {run.info.run_name: run for run in runs}
    evaluation, whole = by_name["evaluate: demo_tbp → demo_clinic"], by_name["everything: demo_tbp → demo_clinic"]
    assert evaluation.data.tags["pretraining_run_id"] == whole.info.run_id


def test_a_picture_of_the_source_under_another_name_in_the_target_is_found(copy_of_finished, caplog):
    project = copy_of_finished()
    raw = project.folder / "data/01_raw/test"
    lesions = pd.read_parquet(project.latest("03_primary/demo_clinic/lesions.parquet"))
    image_id = lesions.dropna(subset="store_index")["image_id"].iloc[0]
    with h5py.File(raw / "demo_tbp" / "train-image.hdf5") as pictures:
        seen_as = sorted(pictures)[0]
        (path,) = raw.glob(f"demo_clinic/images/**/{image_id}*")
        path.write_bytes(bytes(pictures[seen_as][()]))
    with caplog.at_level("WARNING"):
        project.run("evaluate", to_node="evaluate.find_seen_pictures")
    seen = pd.read_csv(project.latest("07_model_output/demo_clinic/seen_pictures.csv"))
    assert seen.to_dict("records") == [{"image_id": image_id, "seen_as": seen_as, "kind": "same bytes"}]
    assert "1 pictures of demo_clinic were pre-trained on" in caplog.text and image_id not in caplog.text


def test_evaluate_without_encoder_says_which_command_makes_one(fresh):
    done = fresh.call("run", "--env=test", "--pipeline=evaluate")
    assert done.returncode != 0
    assert "kedro run --pipeline=pretrain --env=test" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_cohort_is_named_with_the_place_where_cohorts_are_described(fresh):
    done = fresh.call("run", "--pipeline=ingest", "--params=target_cohort=nevus_land")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "nevus_land" in done.stderr and "conf/base/parameters/cohorts" in done.stderr


def test_wrong_settings_are_all_said_at_once_and_plainly_whatever_pipeline_reads_them(fresh):
    wrong = "training.loss.objective=slimpp,evaluation.num_resample=3,evaluation.protocols=none,evaluation.seed=1.5"
    done = fresh.call("run", "--pipeline=ingest", f"--params={wrong}")
    assert done.returncode != 0 and not done.stdout.strip()
    assert "training.loss.objective: Input should be 'slimp', 'slimp_paper', 'flat'" in done.stderr
    assert "evaluation.num_resample: there is no such setting" in done.stderr
    assert "evaluation.seed: Input should be a valid integer" in done.stderr and "not 1.5" in done.stderr
    assert "Traceback" not in done.stderr and "TrainingParams" not in done.stderr and "https://" not in done.stderr


def test_an_unknown_environment_is_named_with_those_there_are(fresh):
    with pytest.raises(Exception, match=r"no environment 'nope'\. Known in conf/: .*pad_ufes_20, .*slice3d"):
        fresh.run("ingest", env="nope")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"target_cohort": "nevus_land"}, "nevus_land"),
        ({"trainig": {"seed": 1}}, "no parameter 'trainig'. Did you mean 'training'"),
        ({"training": {"num_epoch": 3}}, "num_epoch"),
        ({"features": {"num_folds": 1}}, "num_folds"),
        ({"training": {"device": "tpu"}}, "device"),
        ({"model": {"image_encoder": {"name": "vit_tinny"}}}, "vit_tinny"),
    ],
)
def test_a_wrong_option_is_named(with_raw_files, parameters, message):
    with pytest.raises(Exception, match=message):
        with_raw_files.run(**parameters)


@pytest.mark.parametrize(
    ("block", "meant"), [("trainig: {seed: 1}", "training"), ("featurs: {fields: all}", "features")]
)
def test_a_misspelt_block_of_an_environment_is_named_with_its_file(fresh, block, meant):
    (fresh.folder / "conf/test/parameters_mine.yml").write_text(block)
    with pytest.raises(ValueError, match=rf"conf/test/parameters_mine.yml, line 1: there is no .* mean '{meant}'\?"):
        fresh.run("ingest")


def test_cross_fitting_trains_once_per_fold_and_never_on_its_test_patients(with_raw_files):
    project = with_raw_files.evaluate_little()
    roles = {"source_cohort": "demo_clinic", "target_cohort": "demo_clinic"}
    roles["source"] = {"cohort": {"fabricated": {"num_patients": 60}}}
    for pipeline in ("pretrain", "evaluate"):
        project.run(pipeline, **roles, training={"num_epochs": 1})
    splits = pd.read_csv(project.latest("05_model_input/demo_clinic/splits.csv"))
    rows = pd.read_parquet(project.latest("05_model_input/demo_clinic/training_rows.parquet"))
    assert set(rows["partition"]) == {"fold_0", "fold_1", "fold_2"}
    for fold in range(3):
        trained = set(rows.loc[rows["partition"] == f"fold_{fold}", "patient_id"])
        assert not trained & set(splits.loc[splits["fold"] == fold, "patient_id"])
        config = project.latest("06_models/demo_clinic/encoders") / f"fold_{fold}/config.json"
        assert json.loads(config.read_text())["slimp"]["facts"]["partition"] == f"fold_{fold}"
    # Encoders of other folds are refused, not used.
    with pytest.raises(ValueError, match="were in its pre-training"):
        project.run("evaluate", **roles, features={"seed": 9}, training={"num_epochs": 1})
    for pipeline in ("adapt", "evaluate"):
        with pytest.raises(ValueError, match=r"other settings \(training\.num_epochs 1, now 2\)"):
            project.run(pipeline, **roles)


def test_several_cohorts_are_learnt_from_at_once_and_one_of_them_tested_on_without_a_leak(with_raw_files):
    project = with_raw_files.evaluate_little()
    path = project.folder / "conf/test/parameters.yml"
    settings = yaml.safe_load(path.read_text())
    sizes = {"demo_tbp": 14, "demo_clinic": 60}  # as they are fabricated already
    members = {name: {"fabricated": {"num_patients": size}} for name, size in sizes.items()}
    path.write_text(yaml.safe_dump(settings | {"source": {"cohort": {"members": members}}}))
    (project.folder / "conf/test/globals.yml").write_text(
        "source_cohort: [demo_tbp, demo_clinic]\ntarget_cohort: demo_clinic\n"
    )
    quick = {"num_epochs": 1, "sampler": {"cohort_weights": {"demo_clinic": 2.0}}}
    for pipeline in ("pretrain", "evaluate", "report", "extrapolate", "export"):
        project.run(pipeline, training=quick)
    together = "demo_tbp+demo_clinic"
    lesions = pd.read_parquet(project.latest(f"03_primary/{together}/as_source/lesions.parquet"))
    assert lesions["cohort"].value_counts().to_dict() == {"demo_tbp": 189, "demo_clinic": 98}
    assert lesions.loc[lesions["cohort"] == "demo_tbp", "fitzpatrick"].isna().all()  # a field of the other alone
    assert lesions["age_years"].notna().groupby(lesions["cohort"]).mean().gt(0.9).all()
    rows = pd.read_parquet(project.latest(f"05_model_input/{together}/training_rows.parquet"))
    splits = pd.read_csv(project.latest("05_model_input/demo_clinic/splits.csv"))
    for fold in range(3):
        trained = rows[rows["partition"] == f"fold_{fold}"]
        assert trained["image_id"].str.startswith("demo_tbp:").sum() == 189
        assert set(trained["patient_id"]) & {f"demo_clinic:{name}" for name in splits["patient_id"]}
        tested = splits.loc[splits["fold"] == fold, "patient_id"]
        assert not set(trained["patient_id"]) & {f"demo_clinic:{name}" for name in tested}
    folder = project.latest(f"06_models/{together}/encoders") / "fold_0"
    facts = json.loads((folder / "config.json").read_text())["slimp"]["facts"]
    assert facts["cohorts"]["demo_tbp"]["num_images"] == 189
    card = (folder / "README.md").read_text()
    assert "`demo_tbp`: 189 images of 14 patients" in card and "Of several, the strictest holds" in card
    leaks = pd.read_csv(project.latest("08_reporting/demo_clinic/leaks.csv"))
    assert "test patient in pre-training" in set(leaks["check"]) and leaks["found"].eq(0).all()
    page = project.latest("08_reporting/demo_clinic/report.html").read_text()
    assert together in page and "one pre-training per fold" in page
    borrowed = pd.read_parquet(project.latest("07_model_output/demo_clinic/borrowed.parquet"))
    lent = borrowed.merge(rows, left_on=["partition", "nearest_image_id"], right_on=["partition", "image_id"])
    assert len(lent) == len(borrowed) and lent["nearest_image_id"].str.startswith("demo_tbp:").any()
    assert not (lent["patient_id_y"] == "demo_clinic:" + lent["patient_id_x"]).any()
    exported = json.loads((project.latest(f"06_models/{together}/exported_model") / "classifier.json").read_text())
    assert exported["num_patients"] == splits.loc[splits["fold"] == 0, "patient_id"].nunique()
    with pytest.raises(ValueError, match=r"cohort_weights names demo_tpb; the cohorts that are trained on are"):
        project.run("pretrain", training={"num_epochs": 1, "sampler": {"cohort_weights": {"demo_tpb": 2.0}}})


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ("target_cohort=demo_tbp+demo_clinic", "are several cohorts; target_cohort names one"),
        ("source_cohort=demo_tbp+demo_tbp", "source_cohort names `demo_tbp` twice"),
        ("source_cohort=demo_tbp+demo_clinc", r"there is no cohort 'demo_clinc'. Did you mean 'demo_clinic'\?"),
    ],
)
def test_wrong_names_of_several_cohorts_are_refused(fresh, roles, said):
    with pytest.raises(ValueError, match=said):
        fresh.run("ingest", **dict([roles.split("=")]))


def test_whole_sites_are_held_out_patients_measured_and_a_nuisance_suppressed_and_asked_for(fresh):
    project = fresh.evaluate_little()
    tbp = {"cohort": {"fabricated": {"num_patients": 40}, "fields": {"lighting": {"nuisance": True}}}}
    project.run(
        source_cohort="demo_tbp", target_cohort="demo_tbp", source=tbp, target=tbp, features={"split_level": "site"},
        training={"num_epochs": 1, "shuffled_metadata": True, "loss": {"nuisance_weight": 1.0, "views_weight": 0.1}},
        evaluation={"unit": "patient", "label": "malignant", "field_reading": True},
    )  # fmt: skip
    site = pd.read_parquet(project.latest("03_primary/demo_tbp/lesions.parquet")).set_index("image_id")["site_id"]
    splits = pd.read_csv(project.latest("05_model_input/demo_tbp/splits.csv"))
    assert site.nunique() == 3 and splits.groupby(splits["image_id"].map(site))["fold"].nunique().eq(1).all()
    rows = pd.read_parquet(project.latest("05_model_input/demo_tbp/training_rows.parquet"))
    for fold, tested in splits.groupby("fold"):
        trained = rows[rows["partition"] == f"fold_{fold}"]
        assert not set(trained["image_id"].map(site)) & set(tested["image_id"].map(site))
    encoding = json.loads((project.latest("06_models/demo_tbp/encoders") / "fold_0/encoding.json").read_text())
    assert list(encoding["nuisance"]["fields"]) == ["lighting"] and "lighting" not in encoding["lesion"]["fields"]
    results = pd.read_csv(project.latest("08_reporting/demo_tbp/results.csv"))
    name = "demo_tbp (pre-trained on shuffled metadata: a control) (whole sites held out) (by patient)"
    assert set(results["cohort"]) == {name}
    predictions = pd.read_parquet(project.latest("08_reporting/demo_tbp/predictions.parquet"))
    assert predictions["image_id"].nunique() == len(splits)
    read = pd.read_csv(project.latest("08_reporting/demo_tbp/field_reading.csv"))
    assert set(read.loc[read["field"] == "lighting", "level"]) == {"nuisance"}
    assert {"slimp", "random_init"} == set(read["method"])
    groups = pd.read_csv(project.latest("08_reporting/demo_tbp/subgroups.csv"))
    clinics = {f"Fabricated Clinic {name}" for name in ("North", "South", "West")}
    assert set(groups.loc[groups["field"] == "site_id", "group"]) == clinics
    page = project.latest("08_reporting/demo_tbp/report.html").read_text()
    assert "Fields in the image" in page and name in page


def kill_once_there_is(project, pattern: str, num_bytes: int = 0) -> str:
    """Start a run, and end it without warning as soon as a path under data/ exists; return what it said."""
    process = project.start("run", "--env=test")
    deadline = time.monotonic() + 120
    while not _are_there(project, pattern, num_bytes) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    output, _ = process.end()
    assert _are_there(project, pattern, num_bytes)
    return output


def _are_there(project, pattern: str, num_bytes: int) -> bool:
    found = list((project.folder / "data").glob(pattern))
    return bool(found) and (not num_bytes or sum(path.stat().st_size for path in found) >= num_bytes)


def test_a_run_killed_in_one_stage_after_the_other_ends_in_the_very_same_weights_and_results(finished, with_raw_files):
    project = with_raw_files
    packed, embedded = "02_intermediate/demo_tbp/image_store/.unfinished-*", "embeddings.safetensors"
    kill_once_there_is(project, packed, num_bytes=100_000)  # packing: a batch or two are whole
    said = kill_once_there_is(project, "06_models/running/*/step_*")  # training
    assert re.search(r"(64|128) of 189 images are taken over from earlier\s+packings", said)
    kill_once_there_is(project, f"07_model_output/demo_clinic/{embedded}/*/{embedded}")  # evaluating
    done = project.call("run", "--env=test", "--to-nodes=evaluate.measure")
    assert done.returncode == 0, done.stderr
    for path in ("06_models/demo_tbp/encoders", "08_reporting/demo_clinic/results.csv"):
        resumed, whole = project.latest(path), finished[0].latest(path)
        if whole.is_dir():
            resumed, whole = resumed / "all/model.safetensors", whole / "all/model.safetensors"
        assert resumed.read_bytes() == whole.read_bytes(), path


def test_the_registry_holds_every_pipeline_with_a_layer_for_every_dataset():
    configure_project("slimp_pipeline")
    from slimp_pipeline.pipeline_registry import register_pipelines

    pipelines = register_pipelines()
    names = "download fabricate ingest features search pretrain adapt extrapolate evaluate export embed inspect report"
    assert set(pipelines) == {"__default__", "prune", "compare", *names.split()}
    catalog = "\n".join(p.read_text() for p in (Path(__file__).parents[2] / "conf/base").glob("catalog_*.yml"))
    datasets = {name for pipeline in pipelines.values() for name in pipeline.datasets()}
    given = {"report_progress", "find_version", "lineage", "registered_runs"}  # by hooks
    given |= {"compared_predictions", "compared_truths", "compared_readings"}  # read-only
    of_one_run = {"embedding_request", "embedded_shards", "target_cohort", "lending", "lending_encoders"}
    stored = {name for name in datasets if not name.startswith("params:")} - given - of_one_run
    for name in stored:
        block = re.search(rf"^{re.escape(name)}:\n((?:  .*\n)+)", catalog, re.MULTILINE)
        assert block, name
        assert "layer:" in block[1] and ("versioned: true" in block[1] or "ImageStoreDataset" in block[1]), name


def test_data_flows_down_the_layers():
    configure_project("slimp_pipeline")
    from slimp_pipeline.pipeline_registry import register_pipelines

    text = "\n".join(p.read_text() for p in (Path(__file__).parents[2] / "conf/base").glob("catalog_*.yml"))
    blocks = re.findall(r"^(\S+):\n((?:  .*\n)+)", text, re.MULTILINE)
    layer = {name: re.search(r"layer: ([a-z ]+)", body)[1] for name, body in blocks}
    order = ["raw", "intermediate", "primary", "feature", "model input", "models", "model output", "reporting"]
    pipelines = register_pipelines()
    for node in [node for pipeline in pipelines.values() for node in pipeline.nodes]:
        before = [order.index(layer[name]) for name in node.inputs if name in layer]
        after = [order.index(layer[name]) for name in node.outputs if name in layer]
        assert not before or not after or max(before) <= min(after), node.name


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("splits", ["image_id", "patient_id"]),
        ("duplicates", ["image_a", "image_b"]),
        ("patient_conflicts", ["patient_id", "field"]),
        ("lesion_conflicts", ["lesion_id", "patient_id"]),
    ],
)
def test_ids_that_look_like_numbers_stay_text(tmp_path, name, ids):
    folder = Path(__file__).parents[2] / "conf"
    catalog = OmegaConfigLoader(str(folder), **CONFIG_LOADER_ARGS)["catalog"]
    table = pd.DataFrame({ids[0]: ["0001", "0002"], ids[1]: ["007", "NA"], "fold": [0, 1]})
    for role in ("source", "target"):
        entry = catalog[f"{role}.{name}"] | {"filepath": str(tmp_path / role / "table.csv"), "versioned": False}
        dataset = AbstractDataset.from_config(name, entry)
        dataset.save(table)
        pd.testing.assert_frame_equal(dataset.load(), table.astype(dict.fromkeys(ids, "str")))
