"""`make audit`: what it says of known vulnerabilities, and where it can't know."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[1] / ".ci/audit"
GOOD = {"name": "numpy", "version": "2.0", "vulns": []}
BAD = {"name": "pillow", "version": "9.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["9.1", "10.0"]}]}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.fixture
def audit(tmp_path):
    """The script, with a pip-audit that tells what it is told to."""

    def run(libraries: list | None, errors: str = "", status: int = 0) -> tuple[int, str]:
        report = tmp_path / "report"
        report.write_text("" if libraries is None else json.dumps({"dependencies": libraries}))
        (tmp_path / "pip-audit").write_text(
            f'#!/bin/sh\nfor last; do :; done\ncp "{report}" "$last"\necho "{errors}" >&2\nexit {status}\n'
        )
        (tmp_path / "pip-audit").chmod(0o755)
        (tmp_path / "python").unlink(missing_ok=True)
        (tmp_path / "python").symlink_to(sys.executable)
        done = subprocess.run([AUDIT, tmp_path], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_known_vulnerability_is_named_with_the_version_that_mends_it_and_fails(audit):
    status, said = audit([GOOD, BAD, UNKNOWN], status=1)
    assert status == 1
    assert said.splitlines() == [
        "pillow 9.0: PYSEC-1, mended in 9.1, 10.0",
        "2 of 3 pinned libraries audited, 1 with known vulnerabilities",
    ]


def test_none_is_a_success(audit):
    assert audit([GOOD]) == (0, "1 of 1 pinned libraries audited, 0 with known vulnerabilities\n")


@pytest.mark.parametrize(("libraries", "errors"), [([UNKNOWN], ""), (None, "ConnectionError: Max retries exceeded")])
def test_without_the_database_nothing_is_claimed(audit, libraries, errors):
    status, said = audit(libraries, errors, status=1)
    assert status == 0 and said.startswith("not audited: PyPI's advisory database can't be asked from here.")


def test_another_failure_is_one(audit):
    assert audit(None, "no such option", status=2) == (1, "no such option\n")
