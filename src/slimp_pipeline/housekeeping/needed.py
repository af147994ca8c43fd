"""Which runs are needed: the last of each artifact, those that somebody named, and whatever these rest on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from slimp_pipeline.housekeeping.artifacts import EVALUATION, LINEAGE, Artifact, odd_note, read_note


def needed_runs(
    found: Iterable[Artifact], rests_on: Mapping[str, Iterable[str]], keep: int, named: Mapping[str, str]
) -> dict[str, str]:
    """Choose the runs that stay.

    A run stays whole: what it wrote belongs together. It stays if one of its artifacts is among the last `keep`
    versions of that artifact, if it is named, or if a run that stays rests on it.

    Args:
        found: All artifacts that are whole.
        rests_on: Run -> runs whose artifacts it read.
        keep: How many versions of each artifact, >= 1.
        named: Run -> why it stays whatever its age.

    Returns:
        Run -> why it stays.
    """
    runs_of = defaultdict(set)
    for artifact in found:
        runs_of[artifact.name].add(artifact.version)
    why = dict(named)
    for name, runs in sorted(runs_of.items()):
        for run in sorted(runs)[-keep:]:
            why.setdefault(run, f"one of the last {keep} of {name}" if keep > 1 else f"the last of {name}")
    open_runs = sorted(why)
    while open_runs:
        run = open_runs.pop()
        for other in rests_on.get(run, ()):
            if other not in why:
                why[other] = f"the run of {run} rests on it"
                open_runs.append(other)
    return why


def rests_on(found: Iterable[Artifact], data: Path) -> dict[str, set[str]]:
    """Read what every run rests on, as it noted it.

    Raises:
        ValueError: If a note can't be read.
    """
    told: dict[str, set[str]] = defaultdict(set)
    for artifact in found:
        name = Path(artifact.name).name
        if name not in (LINEAGE, EVALUATION) or not (note := read_note(artifact, data)):
            continue
        others = (
            note.get("reads", {}) if name == LINEAGE else {name: [note["pretrain"]] if note.get("pretrain") else []}
        )
        if not isinstance(others, dict) or not all(isinstance(runs, list) for runs in others.values()):
            raise odd_note(artifact, data)
        told[artifact.version] |= {str(run) for runs in others.values() for run in runs} - {artifact.version}
    return dict(told)


def runs_with_others_files(found: Iterable[Artifact], data: Path) -> dict[str, str]:
    """Runs in whose folders lies what no run wrote, and why they stay: it would go with them."""
    why: dict[str, str] = {}
    for artifact in found:
        if others := artifact.others_files(data):
            why.setdefault(artifact.version, f"{artifact.name} of that run holds '{others[0]}', which no run wrote")
    return why
