"""What results rest on."""

import getpass
import json
import socket
from pathlib import Path

from slimp_pipeline.evaluation.audits.lineage import note_what_it_rests_on
from slimp_pipeline.parameters import EvaluationParams, FeatureParams

RUN = {"run": "v2", "pretrain": "v1", "settings": "0a", "git_commit": "abc"}


def test_versions_seeds_device_and_packages_are_noted():
    noted = note_what_it_rests_on(RUN, FeatureParams(seed=3), EvaluationParams(seed=4, device="cpu"), adapted=False)
    assert RUN.items() <= noted.items()
    assert noted["seeds"] == {"splits": 3, "evaluation": 4}
    assert noted["device"] == "cpu" and noted["adapt"] == ""
    assert {"python", "torch", "timm", "kedro"} <= noted["packages"].keys()
    adapted = note_what_it_rests_on(RUN, FeatureParams(), EvaluationParams(device="cpu"), adapted=True)
    assert adapted["adapt"] == "v2"


def test_nothing_of_the_machine_or_of_a_person_is_noted():
    text = json.dumps(note_what_it_rests_on(RUN, FeatureParams(), EvaluationParams(device="cpu"), adapted=True))
    assert str(Path.home()) not in text and socket.gethostname() not in text
    assert getpass.getuser() not in text.replace("root", "") or getpass.getuser() == "root"
