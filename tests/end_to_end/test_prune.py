"""`kedro run --pipeline=prune`, and that all goes on as before after it."""

import json

import mlflow
import pandas as pd

from slimp_pipeline.processes.process import Process

EXPORTED = "06_models/demo_tbp/exported_model"
LEDGER = "08_reporting/prune_ledger.csv"


def test_what_runs_rest_on_stays_and_after_pruning_all_goes_on_as_before(copy_of_finished):
    project = copy_of_finished()
    for _ in range(3):
        project.run("export", export={"onnx": False})
    first, second, third = (path.parent.name for path in sorted((project.folder / "data" / EXPORTED).glob("*/*")))
    everything = project.latest("06_models/demo_tbp/encoders").parent.name
    lineage = json.loads((project.folder / f"data/08_reporting/lineage.json/{third}/lineage.json").read_text())
    assert lineage["reads"]["06_models/demo_tbp/encoders"] == [everything]
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    mlflow.MlflowClient().set_registered_model_alias("slimp-demo_tbp", "in_use", "1")

    shown = project.call("run", "--env=test", "--pipeline=prune", "--params=prune.keep=1")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Would be removed:" in shown.stdout and project.versions(EXPORTED) == 3

    mark = project.folder / "data/.going-on-host-1-1-run"
    mark.write_text(Process.own().as_text())
    refused = project.call("run", "--env=test", "--pipeline=prune", "--params=prune.keep=1,prune.remove=true")
    assert refused.returncode == 1 and "is running a pipeline in" in refused.stderr + refused.stdout
    mark.unlink()

    done = project.call("run", "--env=test", "--pipeline=prune", "--params=prune.keep=1,prune.remove=true")
    assert done.returncode == 0, done.stdout + done.stderr
    ledger = pd.read_csv(project.latest(LEDGER)).set_index("path")
    assert ledger.loc[f"{EXPORTED}/{first}", "why"] == "models:/slimp-demo_tbp@in_use is of it"
    assert ledger.loc[f"{EXPORTED}/{second}", "outcome"] == "removed"
    assert project.versions(EXPORTED) == 2 and project.latest(EXPORTED).parent.name == third
    assert set(ledger.loc[ledger["run"] == everything, "outcome"]) == {"kept"}
    for pipeline in ("export", "report", "evaluate"):
        again = project.call("run", "--env=test", f"--pipeline={pipeline}", "--params=export.onnx=false")
        assert again.returncode == 0, again.stdout + again.stderr
