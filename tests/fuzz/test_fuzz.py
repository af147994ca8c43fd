"""A few inputs of every target, and that the runner finds what is wrong. `make fuzz` draws a million."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run.py"
INPUTS = {"ids": 150, "records": 150, "images": 150, "csv_tables": 120, "exports": 60, "checkpoints": 60}
INPUTS |= {"encodings": 40, "decisions": 30, "requests": 20, "cohort_yaml": 8, "cohort_rows": 6}
SHORT = """
import sys, warnings, logging
sys.path.insert(0, {folder!r})
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
from run import TARGETS, make
from target import Tally, run_one
inputs = {inputs!r}
assert set(inputs) == set(TARGETS)
for name, number in inputs.items():
    target = make(name)
    for i in range(number):
        run_one(target, name, 0, i, Tally())
"""


def test_a_few_inputs_of_every_target_raise_nothing_but_declared_errors():
    code = SHORT.format(folder=str(RUN.parent), inputs=INPUTS)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("[][0]", "IndexError at the target itself"),
        ("int('x')", "ValueError at the target itself"),  # declared, and not the product's own
        ("__import__('os').kill(__import__('os').getpid(), 11)", "it ended the process with -11"),
    ],
)
def test_what_breaks_is_found_saved_and_repeated_by_its_command(tmp_path, body, found):
    (tmp_path / "targets").mkdir()
    for name in ("run.py", "target.py", "mutation.py"):
        (tmp_path / name).write_text((RUN.parent / name).read_text())
    (tmp_path / "targets/mine.py").write_text(
        "from target import Target\n"
        "def call(drawn):\n"
        f"    if drawn % 10 == 7: {body}\n"
        "def make(): return Target(lambda rng: rng.randrange(1000), call, (ValueError,), share=1)\n"
    )
    command = [sys.executable, "run.py", "--inputs", "40", "--processes", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, env=os.environ)
    assert done.returncode == 1 and f"mine: {found}" in done.stdout + done.stderr
    kept = sorted((tmp_path / "fuzz_found").glob("mine-*"))
    drawn, told = int(kept[0].read_text()), kept[1].read_text()
    assert drawn % 10 == 7 and told.startswith("python tests/fuzz/run.py --target mine --seed 0 --number ")
    if "process" not in found:
        again = [sys.executable, "run.py", *told.splitlines()[0].split()[2:]]
        assert subprocess.run(again, cwd=tmp_path, capture_output=True, timeout=100).returncode == 1


def test_a_stopped_run_goes_on_from_its_state_and_ends_with_the_same_counts(tmp_path):
    command = [sys.executable, str(RUN), "--target", "records", "--processes", "1", "--state", str(tmp_path / "state")]
    for inputs in ("300", "500"):
        done = subprocess.run([*command, "--inputs", inputs], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
    at_once = subprocess.run(
        [*command[:-1], str(tmp_path / "other"), "--inputs", "500"], capture_output=True, text=True, timeout=200
    )
    assert at_once.returncode == 0
    states = [json.loads((tmp_path / name).read_text())["tallies"]["records"] for name in ("state", "other")]
    assert states[0]["accepted"] == states[1]["accepted"] == 500
