"""Work on the parts of an evaluation, side by side where that pays."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.processes.heap import trim_heap
from slimp_pipeline.processes.pool import in_processes
from slimp_pipeline.training.device import pick_device

Part = TypeVar("Part")
Result = TypeVar("Result")
_FEW_ROWS = 300  # they are done with before processes have started
_MANY_ROWS = 10_000  # their matrix products take most of the time, and all cores; each process would need gigabytes


def in_parallel(
    work: Callable[[Part], Result], parts: Sequence[Part], num_rows: int, settings: EvaluationParams, title: str
) -> Iterator[Result]:
    """Results of some work on every part, in the order of the parts, with progress and time left.

    Args:
        work: Of a module, or a partial of one. For a cohort of middling size it is called in other processes: with so
            few rows Python itself takes most of the time, on one core.
        parts: What it is called with, one by one.
        num_rows: Of the cohort.
        settings: On which device it computes: a GPU is used by this process alone.
        title: Of the progress bar.
    """
    apart = _FEW_ROWS <= num_rows < _MANY_ROWS and pick_device(settings.device).type == "cpu"
    results = in_processes(work, parts, fewest=1) if apart else map(work, parts)
    for result in tqdm(results, desc=title, total=len(parts), unit="part", leave=False, disable=None):
        yield result
        trim_heap()
