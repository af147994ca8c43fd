"""Ends runs without warning at moments drawn at random, goes on, and compares with runs that nothing ended.

make kill-test                                          30 kills
python tests/end_to_end/kills.py --seed 7 --each 2      10 others

Every run is `kedro run` in a process of its own, a fork of this one, which has imported what it needs. SIGKILL comes
from outside, or from the process itself where the moment must be exact.
"""

import argparse
import hashlib
import itertools
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pyarrow as pa
from kedro.framework.cli import main as kedro

import slimp_pipeline.pipeline_registry  # noqa: F401
from conftest import Project, make_project, with_own_store
from slimp_pipeline.images import packing
from slimp_pipeline.settings import HOOKS
from slimp_pipeline.training import loop, run

LOADED = tuple(HOOKS)  # with what they import, which forks share

KINDS = ("epoch_boundary", "checkpoint", "workers", "packing", "evaluating")
EPOCHS = 6
PRETRAIN = ("run", "--env=test", "--pipeline=pretrain")
LENGTH = f"training.num_epochs={EPOCHS},training.sampler.patients_per_batch=4,training.checkpoint_every_steps=2"
INGEST = ("run", "--env=test", "--pipeline=ingest")
EVALUATE = ("run", "--env=test", "--pipeline=evaluate")
MAX_LOST_S = 5.0
_NODE = r"(\w+) +\d+\.\d s"
Watch = Callable[["Trace"], None]


@dataclass(frozen=True)
class Trace:
    """What a process wrote of itself as it went: `<seconds> <what> <number>`, a line each."""

    file: Path

    def write(self, what: str, number: int) -> None:
        with self.file.open("a") as lines:
            lines.write(f"{time.time()} {what} {number}\n")

    def read(self, what: str) -> list[tuple[float, int]]:
        """Times and numbers."""
        if not self.file.exists():
            return []
        lines = [line.split() for line in self.file.read_text().splitlines()]
        return [(float(line[0]), int(line[2])) for line in lines if line[1] == what]


@dataclass
class Command:
    """A command in a fork of this process.

    Attributes:
        watch: Called in the fork before the command: it may hook into what is to be traced, or be killed there.
    """

    project: Project
    arguments: tuple[str, ...]
    watch: Watch = lambda trace: None
    trace: Trace = field(init=False)

    def __post_init__(self) -> None:
        folder = Path(tempfile.mkdtemp(dir=self.project.folder.parent))
        self.trace, self.output = Trace(folder / "trace"), folder / "output"
        self.started = time.time()
        self.pid = os.fork()
        if not self.pid:
            self._become()

    def _become(self) -> None:
        try:
            os.setsid()
            os.chdir(self.project.folder)
            for name in [name for name in os.environ if name.startswith(("SLIMP_", "MLFLOW_"))]:
                del os.environ[name]
            file = os.open(self.output, os.O_WRONLY | os.O_CREAT)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.argv = ["kedro", *self.arguments]
            trace_training(self.trace)
            self.watch(self.trace)
            kedro()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else bool(end.code))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)

    def has_ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Wait for its end; return the exit code. Whatever it started ends by itself."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.seconds = time.time() - self.started
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{' '.join(self.arguments)} ended with {code}:\n{self.output.read_text()[-3000:]}")
        return code

    def said(self, pattern: str) -> list[str]:
        """What it said that matches: the first group. Console lines are joined."""
        return re.findall(pattern, re.sub(r"\s+", " ", self.output.read_text()))


def trace_training(trace: Trace) -> None:
    """Note every step, and every batch that is asked of the decoder."""
    after(run.Run, "note_step", lambda of: trace.write("step", of.step))
    decoded = loop.decoded_batches

    def counted(store, size, batches, *others, **more):
        def noted():
            for batch in batches:
                trace.write("batch", len(batch))
                yield batch

        return decoded(store, size, noted(), *others, **more)

    loop.decoded_batches = counted


def trace_packing(trace: Trace, at: int = 0) -> None:
    """Note every image that is checked, and die at one of them."""
    numbers = itertools.count(1)

    def note(_: str) -> None:
        number = next(numbers)
        trace.write("image", number)
        if number == at:
            die(trace)

    after(packing, "_check_one", note)


def after(owner: object, name: str, then: Callable[..., None]) -> None:
    """Let a function or method be followed by another, which is given its first argument."""
    original = getattr(owner, name)

    def followed(first, *arguments, **named):
        result = original(first, *arguments, **named)
        then(first)
        return result

    setattr(owner, name, followed)


def die(trace: Trace) -> None:
    trace.write("killed", 0)
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Kill:
    """One kill, and what became of it."""

    kind: str
    moment: str
    killed_at: str
    resumed_at: str
    lost_s: float
    identical: bool
    fault: str = ""  # whatever else isn't as it should be

    def line(self, number: int) -> str:
        good = "yes" if self.identical and not self.fault else f"NO {self.fault}"
        return (
            f"{number:>2}  {self.kind:<15} {self.moment:<47} {self.killed_at:>22} -> {self.resumed_at:<24}"
            f"{self.lost_s:>5.1f} s   identical: {good}"
        )


class Kills:
    """Kills of all kinds, with what they are compared with.

    Args:
        folder: For projects; removed by the caller.
        seed: Of the moments.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw, self.num_copies = folder, random.Random(seed), 0
        self.raw = make_project(folder / "raw" / "project")
        self._done(self.raw, "run", "--env=test", "--pipeline=fabricate")
        self.ingested = self.copy(self.raw)
        ingested = self._done(self.ingested, *INGEST, watch=trace_packing)
        self.packing_s, self.num_images = ingested.seconds, len(ingested.trace.read("image"))
        self._done(self.ingested, "run", "--env=test", "--pipeline=features")
        self.trained = self.copy(self.ingested)
        whole = self._done(self.trained, *PRETRAIN, f"--params={LENGTH}")
        steps = whole.trace.read("step")
        self.num_steps, self.start_s = steps[-1][1], steps[0][0] - whole.started
        self.steps_per_epoch = self.num_steps // EPOCHS
        self.evaluated = self.copy(self.trained)
        self.evaluation = self._done(self.evaluated, *EVALUATE, f"--params={LENGTH}")

    def _done(self, project: Project, *arguments: str, watch: Watch = lambda trace: None) -> Command:
        command = Command(project, arguments, watch)
        command.end()
        return command

    def copy(self, project: Project) -> Project:
        self.num_copies += 1
        target = self.folder / f"copy_{self.num_copies}" / "project"
        shutil.copytree(project.folder, target, symlinks=True)
        return with_own_store(target)

    def epoch_boundary(self, number: int) -> Kill:
        """At the end of an epoch: before or after its validation or checkpoint. The first: with no step left."""
        epoch = EPOCHS if number == 0 else self.draw.randint(1, EPOCHS)
        method = "keep_if_due" if number == 0 else self.draw.choice(["note_step", "note_validation", "keep_if_due"])
        step = epoch * self.steps_per_epoch

        def watch(trace: Trace) -> None:
            after(run.Run, method, lambda of: of.step == step and die(trace))

        said = {"note_step": "step taken", "note_validation": "validation measured", "keep_if_due": "all kept"}[method]
        return self._training("epoch boundary", f"end of epoch {epoch}, {said}", watch, workers=(0, number % 2))

    def checkpoint(self, number: int) -> Kill:
        """Within the first milliseconds after a checkpoint was begun."""
        nth, delay_s = self.draw.randint(1, self.num_steps // 2), self.draw.uniform(0, 0.006)

        def watch(trace: Trace) -> None:
            original, begun = run.save_running, []

            def save(folder, state):
                begun.append(state.step)
                if len(begun) == nth:
                    threading.Timer(delay_s, die, [trace]).start()
                original(folder, state)
                if len(begun) == nth:
                    trace.write("saved", state.step)

            run.save_running = save

        return self._training("checkpoint", f"{delay_s * 1000:.1f} ms into checkpoint {nth}", watch, workers=(0, 0))

    def workers(self, number: int) -> Kill:
        """From outside, some milliseconds after a step, with an input worker; resumed with none, one or two."""
        step, delay_s = self.draw.randint(1, self.num_steps - 2), self.draw.uniform(0, 0.02)
        return self._training(
            "input workers", f"{delay_s * 1000:.1f} ms after step {step}", lambda trace: None,
            workers=(1, (0, 2, 1)[number % 3]), from_outside=(step, delay_s),
        )  # fmt: skip

    def _training(
        self,
        kind: str,
        moment: str,
        watch: Watch,
        workers: tuple[int, int],
        from_outside: tuple[int, float] | None = None,
    ) -> Kill:
        project = self.copy(self.ingested)
        first = Command(project, self._pretrain(workers[0]), watch)
        if from_outside:
            step, delay_s = from_outside
            while not first.has_ended() and not any(at >= step for _, at in first.trace.read("step")):
                time.sleep(0.001)
            time.sleep(delay_s)
            first.kill()
        killed = first.end() == -signal.SIGKILL
        half = [*project.folder.glob("data/06_models/running/*/.unfinished-*")]
        second = Command(project, self._pretrain(workers[1]))
        second.end()
        at = first.trace.read("step")[-1][1]
        resumed = [int(step) for step in second.said(r"Going on from step (\d+)")]
        over = [int(step) for step in second.said(r"has ended, at step (\d+): nothing is left")]
        from_step = (resumed or over or [0])[0]
        taken, batches = second.trace.read("step"), second.trace.read("batch")
        lost_s = max(0.0, taken[0][0] - second.started - self.start_s) if taken else 0.0
        faults = {
            "it wasn't killed": not killed,
            "it doesn't say that nothing is left": from_step == self.num_steps and not over,
            f"{len(batches)} batches decoded": len(batches) != self.num_steps - from_step,
            f"{at - from_step} steps lost": at - from_step > 2,
            f"took {lost_s:.1f} s longer to start": lost_s > MAX_LOST_S,
        }
        moment += f", workers {workers[0]} -> {workers[1]}" + (
            ", half written" if half and kind == "checkpoint" else ""
        )
        identical = self._weights(project) == self._weights(self.trained)
        resumed_at = f"step {from_step}" + (" (nothing left)" if over else "")
        return Kill(kind, moment, f"step {at}", resumed_at, lost_s, identical, _first(faults))

    def packing(self, number: int) -> Kill:
        """At an image, of one of the two cohorts."""
        project, at = self.copy(self.raw), self.draw.randint(2, self.num_images)
        first = Command(project, INGEST, lambda trace: trace_packing(trace, at))
        killed = first.end() == -signal.SIGKILL
        second = Command(project, INGEST, trace_packing)
        second.end()
        kept = self.num_images - len(second.trace.read("image"))
        lost_s = max(0.0, second.seconds - self.packing_s)
        faults = {
            "it wasn't killed": not killed,
            f"{at - kept} images were checked again": not 0 < at - kept <= packing.IMAGES_PER_BATCH,
        }
        same = _same_stores(project, self.ingested)
        return Kill("packing", f"image {at}", f"image {at}", f"image {kept + 1}", lost_s, same, _first(faults))

    def evaluating(self, number: int) -> Kill:
        """From outside, at any moment of the command."""
        project, share = self.copy(self.trained), self.draw.uniform(0.15, 0.95)
        first = Command(project, (*EVALUATE, f"--params={LENGTH}"))
        while not first.has_ended() and time.time() - first.started < share * self.evaluation.seconds:
            time.sleep(0.001)
        moment = f"{time.time() - first.started:.1f} s after its start"
        first.kill()
        killed = first.end() == -signal.SIGKILL
        second = Command(project, (*EVALUATE, f"--params={LENGTH}"))
        second.end()
        done, kept = len(first.said(_NODE)), len(second.said(r"(taken from)"))
        lost_s = max(0.0, second.seconds - self.evaluation.seconds)
        same = self._results(project) == self._results(self.evaluated)
        faults = {"it wasn't killed": not killed}
        return Kill(
            "evaluating", moment, f"stage {done + 1}", f"stage 1, {kept} taken over", lost_s, same, _first(faults)
        )

    def _pretrain(self, num_workers: int) -> tuple[str, ...]:
        return (*PRETRAIN, f"--params={LENGTH},training.num_workers={num_workers}")

    def _weights(self, project: Project) -> str:
        return _digest(project.latest("06_models/demo_tbp/encoders") / "all/model.safetensors")

    def _results(self, project: Project) -> list[str]:
        names = ("08_reporting/demo_clinic/results.csv", "07_model_output/demo_clinic/embeddings.safetensors")
        return [_digest(project.latest(name)) for name in names]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _same_stores(one: Project, other: Project) -> bool:
    stores = [sorted(project.folder.glob("data/02_intermediate/*/image_store/*")) for project in (one, other)]
    files = [[path for path in paths if path.suffix == ".arrow"] for paths in stores]
    if [path.name for path in files[0]] != [path.name for path in files[1]] or not files[0]:
        return False
    tables = [[pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths] for paths in files]
    return all(a.equals(b) for a, b in zip(*tables, strict=True))


def _first(faults: dict[str, bool]) -> str:
    return next((fault for fault, is_so in faults.items() if is_so), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--each", type=int, default=6, help="kills of each of the five kinds")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    arguments = parser.parse_args()
    started, kills = time.time(), []
    folder = Path(tempfile.mkdtemp(prefix="slimp-kills-"))
    try:
        made = Kills(folder, arguments.seed)
        print(
            f"seed {arguments.seed}; {made.num_steps} steps in {EPOCHS} epochs, a checkpoint every 2; "
            f"{made.start_s:.1f} s to the first step"
        )
        for kind in arguments.kinds:
            for number in range(arguments.each):
                kills.append(getattr(made, kind)(number))
                print(kills[-1].line(len(kills)), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    bad = sum(not kill.identical or bool(kill.fault) for kill in kills)
    print(f"{len(kills)} kills, {bad} of them not as they should be; {(time.time() - started) / 60:.1f} minutes")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
