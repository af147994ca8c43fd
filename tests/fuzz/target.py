"""A target: how inputs are drawn, what is called with them, which errors may come of it."""

import hashlib
import json
import re
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import slimp_pipeline

PACKAGE = Path(slimp_pipeline.__file__).parent
MOST_S = 5.0  # of the processor's time for one input


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        draw: Makes an input of a stream of random numbers: the same stream, the same input.
        call: Hands it to the product, and asserts what must hold of what comes back.
        declared: Errors that it may raise. They count only where the product's own code raised them: a library's
            ValueError that falls through tells nobody what to do.
        share: Of the inputs of a run, in thousandths.
    """

    draw: Callable[[Random], Any]
    call: Callable[[Any], None]
    declared: tuple[type[Exception], ...]
    share: int


@dataclass
class Tally:
    """What came of many inputs."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by where it is raised
    seconds: float = 0.0

    @property
    def inputs(self) -> int:
        return self.accepted + self.refused.total()

    def add(self, other: "Tally") -> None:
        self.accepted += other.accepted
        self.refused += other.refused
        self.seconds += other.seconds


class Refused(Exception):
    """What a target raises where a settings' model refuses an input, which the product puts in words elsewhere."""


class Found(Exception):
    """An input that breaks the product."""

    def __init__(self, number: int, drawn: Any, why: str) -> None:
        super().__init__(why)
        self.number, self.drawn = number, drawn

    def kind(self) -> str:
        """What went wrong, and the product's line that let it."""
        lines = [line.strip() for line in str(self).splitlines() if line.strip()]
        own = [line for line in lines if line.startswith("File ") and str(PACKAGE) in line]
        place = own[-1].replace(f'File "{PACKAGE}/', "").replace('", line ', ":") if own else "the target itself"
        return f"{re.split('[^A-Za-z.]', lines[-1])[0]} at {place}"


def stream(name: str, seed: int, number: int) -> Random:
    """Random numbers of one input."""
    return Random(f"{name}/{seed}/{number}")


def run_one(target: Target, name: str, seed: int, number: int, tally: Tally) -> None:
    """Draw one input and call the target with it.

    Raises:
        Found: If something else than a declared error comes of it, or it takes too long.
    """
    drawn = target.draw(stream(name, seed, number))
    before = time.process_time()
    try:
        target.call(drawn)
        tally.accepted += 1
    except Refused:
        tally.refused["settings"] += 1
    except Exception as error:
        place = _place(error)
        if not isinstance(error, target.declared) or place is None:
            raise Found(number, drawn, traceback.format_exc()) from None
        tally.refused[place] += 1
    if (took := time.process_time() - before) > MOST_S:
        raise Found(number, drawn, f"it took {took:.1f} s")
    tally.seconds += took


def _place(error: BaseException) -> str | None:
    """Where the product raised an error; None where something else did."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return None
    file = Path(trace.tb_frame.f_code.co_filename)
    return f"{file.relative_to(PACKAGE)}:{trace.tb_lineno}" if file.is_relative_to(PACKAGE) else None


def save(found: Found, name: str, seed: int, folder: Path) -> Path:
    """Keep an input that breaks something, what it does, and the command that repeats it."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = found.drawn
    content = drawn if isinstance(drawn, bytes) else _text(drawn).encode("utf-8", "backslashreplace")
    path = folder / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    path.write_bytes(content)
    command = f"python tests/fuzz/run.py --target {name} --seed {seed} --number {found.number}"
    path.with_suffix(".txt").write_text(f"{command}\n\n{found}", encoding="utf-8", errors="backslashreplace")
    return path


def _text(drawn: Any) -> str:
    try:
        return drawn if isinstance(drawn, str) else json.dumps(drawn, indent=1)
    except (TypeError, ValueError):
        return repr(drawn)
