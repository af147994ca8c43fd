"""Processes that work for this one: started when they are first needed, and used again."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from multiprocessing.util import Finalize
from typing import Any, TypeVar

from joblib import cpu_count
from joblib.externals.loky import get_reusable_executor

_PATIENCE_S = 300  # of a process without work: that is short while images are taken over
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # each has a core
_PARTS = 4  # of each process's share, so that none is left alone at the end
Item = TypeVar("Item")
Result = TypeVar("Result")


_executors: list[Any] = []  # the one that is in use, once there is one


def pool(num_processes: int) -> Any:
    """Return loky's executor of this process; whoever asks for another number of processes changes it."""
    if not _executors:  # a process of multiprocessing waits for its own before loky would end them
        Finalize(None, end_pool, exitpriority=0)
    _executors[:] = [get_reusable_executor(max_workers=num_processes, timeout=_PATIENCE_S, env=_ONE_THREAD)]
    return _executors[0]


def end_pool() -> None:
    """End the processes at once, if there are any: at its own end Python would wait for each to tidy up."""
    for executor in _executors:
        executor.shutdown(kill_workers=True)
    _executors.clear()


def in_processes(function: Callable[[Item], Result], items: Sequence[Item], *, fewest: int) -> Iterator[Result]:
    """Results of a function in the order of the items, worked on by all cores.

    Args:
        function: Of a module, or a partial of one; it and its results travel between processes.
        items: What it is called with, one by one.
        fewest: Items for which a process pays: to start one takes seconds. For fewer than two such shares there is
            none but this.

    Whoever is stopped, or takes no more, doesn't wait for what is still worked on: those processes end at once.
    """
    num_processes = min(cpu_count(), len(items) // fewest)
    if num_processes < 2:
        yield from map(function, items)
        return
    at_once = max(1, len(items) // (_PARTS * num_processes))
    executor = pool(num_processes)
    shares = (items[start : start + at_once] for start in range(0, len(items), at_once))
    # No more than they take at once: where others wait, loky fails to end its processes.
    working = deque(executor.submit(_results, function, share) for share in islice(shares, num_processes + 1))
    try:
        while working:
            results = working.popleft().result()
            working.extend(executor.submit(_results, function, share) for share in islice(shares, 1))
            yield from results
    except BaseException:
        executor.shutdown(kill_workers=True)
        raise


def _results(function: Callable[[Item], Result], share: Sequence[Item]) -> list[Result]:
    return [function(item) for item in share]
