"""A new user: README and tutorial, command by command, with nothing but a clone of the repository.

    python tests/new_user/walk.py        # needs a network; installs everything, twenty minutes
    python tests/new_user/walk.py --keep /tmp/new_user
    python tests/new_user/walk.py --small      # every run by the environment `test`: figures aren't compared

A folder for all, a clone, a home of its own, no variable of whoever starts it. Ends with 1 where pages and output
differ.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from new_user.documented import Step, steps_of
from new_user.printed import differences

REPOSITORY = Path(__file__).parents[2]
PAGES = ("README.md", "docs/start/tutorial.md")
_NEEDED = re.compile(r"(PIP_\w+|\w+_proxy|SSL_CERT_\w+|REQUESTS_CA_BUNDLE)", re.IGNORECASE)  # to reach a package index


@dataclass
class User:
    """Someone in a folder, with an environment that the commands may change, as in one terminal."""

    folder: Path
    environment: Mapping[str, str]
    any_number: bool = False  # a run of other size: numbers differ
    seconds: float = field(default=0.0, init=False)  # that the last step took

    def run(self, step: Step) -> list[str]:
        """Run a step: what went wrong or differs from the page, a sentence each."""
        began = time.monotonic()
        try:
            if step.url:
                return self._serve(step)
            done = self._shell(step)
        finally:
            self.seconds = time.monotonic() - began
        if done.returncode:
            return [f"ended with {done.returncode}:\n{done.stdout[-2000:]}"]
        return differences(step.said, done.stdout, within=step.within, any_number=self.any_number)

    def _shell(self, step: Step) -> subprocess.CompletedProcess[str]:
        state = self.folder / ".new_user_state"
        text = with_versions(step.text, self.folder)
        script = f"python - <<'END_OF_BLOCK'\n{text}\nEND_OF_BLOCK" if step.language == "python" else text
        command = ["bash", "-ec", f"{script}\nenv -0 > {state}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
        done = subprocess.run(command, cwd=self.folder, env=dict(self.environment), **pipes)  # type: ignore[call-overload]
        if done.returncode == 0:
            entries = state.read_text(encoding="utf-8").split("\0")
            self.environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        state.unlink(missing_ok=True)
        return done

    def _serve(self, step: Step, seconds: float = 180) -> list[str]:
        """Start a server, and end it once it has answered."""
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            server = subprocess.Popen(
                ["bash", "-ec", step.text], cwd=self.folder, env=dict(self.environment), stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            deadline = time.monotonic() + seconds
            try:
                while not (answers := _answers(step.url)) and server.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.5)
            finally:
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                    os.killpg(server.pid, signal.SIGTERM)
                server.wait()
            output.seek(0)
            return [] if answers else [f"no answer from {step.url}:\n{output.read()[-2000:]}"]


def with_versions(text: str, folder: Path) -> str:
    """Paths in which `<version>` stands for the newest one."""

    def newest(path: re.Match[str]) -> str:
        found = sorted(folder.glob(path[0].replace("<version>", "*")))
        return str(found[-1].relative_to(folder)) if found else path[0]

    return re.sub(r"[\w./-]*<version>[\w./-]*", newest, text)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def bare_environment(home: Path) -> dict[str, str]:
    """What a fresh account has."""
    kept = {name: value for name, value in os.environ.items() if _NEEDED.fullmatch(name)}
    return kept | {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


def walk(folder: Path, *, small: bool) -> int:
    """Walk all pages in a clone: how many steps went otherwise than the pages say."""
    home, clone = folder / "home", folder / "slimp-pipeline"
    home.mkdir(parents=True, exist_ok=True)
    if not clone.exists():
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    environment = bare_environment(home) | ({"KEDRO_ENV": "test"} if small else {})
    user, wrong = User(clone, environment, any_number=small), 0
    for page in PAGES:
        for step in steps_of(clone / page):
            print(f"{step.place:16} {step.text.strip().splitlines()[0]}", flush=True)
            problems = user.run(step)
            wrong += bool(problems)
            print("\n".join(problems) or "  as the page says", f"({user.seconds:.0f} s)", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="a folder to work in, which stays; a clone in it is gone on with")
    parser.add_argument("--small", action="store_true", help="run everything by the environment `test`")
    arguments = parser.parse_args()
    kept = arguments.keep
    folder = kept or Path(tempfile.mkdtemp(prefix="new-user-"))
    try:
        wrong = walk(folder, small=arguments.small)
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{wrong} steps went otherwise than the pages say" if wrong else "All went as the pages say.")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
