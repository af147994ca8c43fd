"""What Kedro refuses of a command line, in words that name what there is."""

import re
from collections.abc import Callable
from types import TracebackType

from kedro.framework.project import pipelines
from kedro.pipeline.node import Node

from slimp_pipeline.configuration.names import close_to

_RUNNERS = ("SequentialRunner", "ThreadRunner")


def command_line_in_words(error: BaseException, traceback: TracebackType | None = None) -> str | None:
    """Say which option names something that doesn't exist, and what it may have meant.

    Args:
        error: What Kedro raised.
        traceback: Where.

    Returns:
        None for any other error.
    """
    for pattern, in_words in _REFUSED:
        if found := re.search(pattern, str(error)):
            return in_words(found[1])
    if isinstance(error, ModuleNotFoundError) and "load_obj" in _functions(traceback):
        return _no_runner(str(error.name))
    return None


def _no_pipeline(name: str) -> str:
    known = sorted(set(pipelines) - {"__default__"})
    return f"there is no pipeline '{name}'.{close_to(name, known)} Known: {', '.join(known)}."


def _no_nodes(names: str) -> str:
    hints = _each("node", names, {node.name for node in _nodes()})
    return f"{hints} `kedro registry describe <pipeline>` lists a pipeline's nodes."


def _no_namespace(names: str) -> str:
    known = {node.namespace.split(".")[0] for node in _nodes() if node.namespace}
    return f"{_each('namespace', names, known)} Known: {', '.join(sorted(known))}."


def _no_dataset(names: str) -> str:
    return _each("dataset", names, {name for node in _nodes() for name in (*node.inputs, *node.outputs)})


def _no_runner(name: str) -> str:
    return f"--runner: there is no runner '{name}'.{close_to(name, _RUNNERS)} Known: {', '.join(_RUNNERS)}."


def _nothing_left(_: str) -> str:
    return "no node of the chosen pipeline fits --tags, --nodes, --from-nodes and --to-nodes together: nothing to run"


def _not_parallel(_: str) -> str:
    return (
        "--runner=ParallelRunner can't be taken: nodes hand over what processes don't share. Leave --runner out "
        "(the nodes use all cores by themselves), or take ThreadRunner"
    )


def _no_runner_option(name: str) -> str:
    return f"--runner-params: this runner has no option '{name}'; max_workers goes with --runner=ThreadRunner"


def _each(kind: str, names: str, known: set[str]) -> str:
    """Say of every name whether another pipeline has it, or what resembles it."""
    hints = []
    for name in re.findall(r"[^\s,'\"\[\]]+", names):
        if name in known:
            hints.append(f"the chosen pipeline has no {kind} '{name}', another one has.")
        else:
            hints.append(f"there is no {kind} '{name}'.{close_to(name, known)}")
    return " ".join(hints)


def _nodes() -> list[Node]:
    return [node for name in pipelines for node in pipelines[name].nodes]


def _functions(traceback: TracebackType | None) -> set[str]:
    names = set()
    while traceback is not None:
        names.add(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


_REFUSED: tuple[tuple[str, Callable[[str], str]], ...] = (
    (r"Failed to find the pipeline named '(.+?)'", _no_pipeline),
    (r"does not contain nodes named (\[.*\])", _no_nodes),
    (r"does not contain nodes with the following namespaces: (\[.*\])", _no_namespace),
    (r"does not contain datasets named (\[.*\])", _no_dataset),
    (r"'load_versions' keys (\[.*\]) are not found", _no_dataset),
    (r"(Pipeline contains no nodes) after applying", _nothing_left),
    (r"module 'kedro\.runner' has no attribute '(\w+)'", _no_runner),
    (r"(datasets cannot be used with multiprocessing)", _not_parallel),
    (r"Runner\.__init__\(\) got an unexpected keyword argument '(\w+)'", _no_runner_option),
)
