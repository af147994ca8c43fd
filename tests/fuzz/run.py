"""Fuzzes what reads what others wrote: no input may raise anything but a declared error.

make fuzz                                                   1,000,000 inputs, in two processes
make fuzz INPUTS=20000                                      fewer
python tests/fuzz/run.py --inputs 50000 --seed 7 --target images --target requests
python tests/fuzz/run.py --state fuzz.json                  goes on from where it was stopped

Every input is a function of target, seed and number, so that any can be drawn again.
"""

import argparse
import faulthandler
import importlib
import json
import logging
import os
import queue
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from target import Found, Tally, Target, run_one, save, stream

TARGETS = sorted(path.stem for path in (Path(__file__).parent / "targets").glob("*.py"))
_ROUNDS = 200  # in which all targets take turns
_MEMORY = 3 * 2**30  # that a process may take: an input that asks for more is found
_LINES_EVERY_S = 10


def make(name: str) -> Target:
    """The target of a module."""
    target: Target = importlib.import_module(f"targets.{name}").make()
    return target


def work(orders: Any, answers: Any, at: Any, seed: int) -> None:
    """Run chunks of inputs until there are no more; say before each input which it is."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    faulthandler.enable(os.fdopen(os.dup(2), "w"))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the lines of decoders in C
    targets: dict[str, Target] = {}
    while (order := orders.get()) is not None:
        name, start, stop = order
        if name not in targets:
            targets[name] = make(name)
            soft = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, soft))
        tally, found = Tally(), []
        for number in range(start, stop):
            at[0], at[1] = TARGETS.index(name), number
            try:
                run_one(targets[name], name, seed, number, tally)
            except Found as one:
                found.append(one)
            except Exception:
                answers.put(f"{name}, number {number}, can't be drawn:\n{traceback.format_exc()}")
                return
        answers.put((name, vars(tally), [(one.number, one.drawn, str(one)) for one in found]))


def chunks(inputs: dict[str, int], done: dict[str, int]) -> Iterator[tuple[str, int, int]]:
    """Ranges of all targets in turn, each by its share: wherever a run is stopped, they stand in proportion."""
    at = {name: done.get(name, 0) for name in inputs}
    while open_ := [name for name in inputs if at[name] < inputs[name]]:
        for name in open_:
            size = min(-(-inputs[name] // _ROUNDS), inputs[name] - at[name])
            yield name, at[name], at[name] + size
            at[name] += size


def fuzz(inputs: dict[str, int], options: argparse.Namespace) -> tuple[dict[str, Tally], int]:
    """Fuzz targets in processes; also say how many inputs break something. One that ends its process ends all."""
    state = _read_state(options.state)
    tallies = {name: _tally(state["tallies"].get(name)) for name in inputs}
    done = {name: tallies[name].inputs + state["found"].get(name, 0) for name in inputs}
    context = get_context("spawn")
    orders, answers = context.Queue(), context.Queue()
    places = [context.Array("q", 2, lock=False) for _ in range(options.processes)]
    processes = [context.Process(target=work, args=(orders, answers, at, options.seed), daemon=True) for at in places]
    for process in processes:
        process.start()
    waiting, open_chunks = chunks(inputs, done), 0
    total, started, before, said = sum(inputs.values()), time.monotonic(), sum(done.values()), time.monotonic()
    try:
        for order in waiting:
            orders.put(order)
            open_chunks += 1
            if open_chunks < 2 * len(processes):
                continue
            open_chunks -= _take(answers, processes, places, tallies, state, options)
            if time.monotonic() - said > _LINES_EVERY_S:
                said = time.monotonic()
                num = sum(tally.inputs for tally in tallies.values()) + sum(state["found"].values())
                rate = (num - before) / (said - started)
                left = (total - num) / rate / 60 if rate else 0
                print(f"{num:>9,} of {total:,}, {rate:,.0f} a second, {left:.0f} min left", flush=True)
                _write_state(options.state, tallies, state)
            if options.seconds and time.monotonic() - started > options.seconds:
                break
        while open_chunks:
            open_chunks -= _take(answers, processes, places, tallies, state, options)
    finally:
        for _ in processes:
            orders.put(None)
        _write_state(options.state, tallies, state)
        for process in processes:
            process.join(5)
            process.kill()
    return tallies, sum(state["found"].values())


def _take(
    answers: Any, processes: Any, places: Any, tallies: dict[str, Tally], state: dict[str, Any], options: Any
) -> int:
    while True:
        try:
            answer = answers.get(timeout=2)
            break
        except queue.Empty:
            for process, (target, number) in zip(processes, places, strict=True):
                if process.exitcode:
                    name = TARGETS[target]
                    drawn = make(name).draw(stream(name, options.seed, number))
                    one = Found(number, drawn, f"it ended the process with {process.exitcode}")
                    sys.exit(f"FOUND {name}: {one}: {save(one, name, options.seed, options.folder)}")
    if isinstance(answer, str):
        sys.exit(answer)
    name, tally, found = answer
    tallies[name].add(_tally(tally))
    for number, drawn, why in found:
        one = Found(number, drawn, why)
        state["found"][name] = state["found"].get(name, 0) + 1
        kind = f"{name}: {one.kind()}"
        if kind not in state["kinds"]:
            print(f"FOUND {kind}\n      {save(one, name, options.seed, options.folder)}", flush=True)
        state["kinds"][kind] = state["kinds"].get(kind, 0) + 1
    return 1


def _tally(told: dict[str, Any] | None) -> Tally:
    return Tally(told["accepted"], Counter(told["refused"]), told["seconds"]) if told else Tally()


def _read_state(path: Path | None) -> dict[str, Any]:
    if path and path.is_file():
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return state
    return {"tallies": {}, "found": {}, "kinds": {}}


def _write_state(path: Path | None, tallies: dict[str, Tally], state: dict[str, Any]) -> None:
    if path:
        state["tallies"] |= {name: vars(tally) for name, tally in tallies.items()}
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(state, indent=1), encoding="utf-8")
        temporary.replace(path)


def print_table(tallies: dict[str, Tally]) -> None:
    """What came of each target, in Markdown."""
    print("\n| target | inputs | refused | accepted | distinct refusals | seconds |\n| --- " + "| ---: " * 5 + "|")
    total = Tally()
    for name, tally in sorted(tallies.items()):
        total.add(tally)
        print(_row(name, tally, len(tally.refused)))
    print(_row("all", total, sum(len(tally.refused) for tally in tallies.values())))


def _row(name: str, tally: Tally, distinct: int) -> str:
    return (
        f"| {name} | {tally.inputs:,} | {tally.refused.total():,} | {tally.accepted:,} | {distinct} "
        f"| {tally.seconds:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all targets together")
    parser.add_argument("--seconds", type=float, help="after which no more inputs are drawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=TARGETS, action="append", help="these alone; may be given several times")
    parser.add_argument("--number", type=int, help="one input of one target, in this process: what it does is shown")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--state", type=Path, help="file that a later call goes on from")
    parser.add_argument("--folder", type=Path, default=Path("fuzz_found"), help="of inputs that break something")
    options = parser.parse_args()
    names = options.target or TARGETS
    if options.number is not None:
        run_one(make(names[0]), names[0], options.seed, options.number, Tally())
        print("nothing but a declared error, if any")
        return
    shares = {name: make(name).share for name in names}
    whole = sum(shares.values())
    inputs = {name: -(-options.inputs * share // whole) for name, share in shares.items()}
    tallies, num_found = fuzz(inputs, options)
    print_table(tallies)
    if num_found:
        sys.exit(f"{num_found:,} inputs break something: {options.folder}")


if __name__ == "__main__":
    main()
