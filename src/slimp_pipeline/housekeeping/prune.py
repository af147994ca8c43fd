"""Pruning: the plan of what goes and what stays, and its removal, version by version."""

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from slimp_pipeline.housekeeping.artifacts import (
    FINISHED,
    STORE,
    Artifact,
    artifacts,
    packed_files,
    read_note,
    size_of,
)
from slimp_pipeline.housekeeping.needed import needed_runs, rests_on, runs_with_others_files
from slimp_pipeline.parameters import PruneParams
from slimp_pipeline.processes.depot import depot_of
from slimp_pipeline.processes.whole import temporary_name

logger = logging.getLogger(__name__)
PLAN_COLUMNS = ["path", "run", "kind", "stays", "why", "num_files", "size_bytes"]
LEDGER_COLUMNS = [*PLAN_COLUMNS, "outcome"]
KEPT, PLANNED, REMOVED, FAILED = "kept", "would be removed", "removed", "couldn't be removed"


def local_folder(address: str) -> Path:
    """The data folder, where it is one.

    Raises:
        ValueError: If it is a bucket.
    """
    depot = depot_of(address)
    if depot.is_elsewhere:
        raise ValueError(f"{address} is a bucket, and only folders are pruned: nobody can tell who else reads there")
    return depot.local


def plan(data: Path, settings: PruneParams, named: Mapping[str, str]) -> pd.DataFrame:
    """Say of every artifact, packed file and note below the data folder whether it stays, and why.

    Args:
        data: The data folder.
        settings: How many versions are kept.
        named: Runs that stay whatever their age, and why.

    Returns:
        `PLAN_COLUMNS`, a row each; paths are relative to the data folder.

    Raises:
        ValueError: If a note can't be read that says what is needed.
    """
    found = sorted(artifacts(data), key=lambda artifact: (artifact.name, artifact.version))
    whole = [artifact for artifact in found if artifact.is_whole(data)]
    why = needed_runs(whole, rests_on(found, data), settings.keep, {**runs_with_others_files(found, data), **named})
    rows = [
        _row(data, artifact.folder(data), artifact.version, "artifact", why.get(artifact.version)) for artifact in found
    ]
    rows += [_row(data, path, "", "packed images", reason) for path, reason in _packed(data, found, why)]
    rows += [_row(data, path, run, "note", reason) for path, run, reason in _notes(data, found, why)]
    return pd.DataFrame(rows, columns=PLAN_COLUMNS)


def remove_planned(data: Path, planned: pd.DataFrame, settings: PruneParams, named: Mapping[str, str]) -> pd.DataFrame:
    """Remove what doesn't stay, if that is asked for; what has come to be needed since it was planned stays, too.

    Each path is renamed first, to a name by which the next run knows what is left of it: killed at any moment, this
    leaves whole versions alone.

    Returns:
        `LEDGER_COLUMNS`: the plan, and what came of it.
    """
    now = plan(data, settings, named)
    goes = planned[~planned["stays"] & planned["path"].isin(now.loc[~now["stays"], "path"])]
    outcome = pd.Series(KEPT, index=planned.index)
    outcome[goes.index] = PLANNED
    if settings.remove:
        with tqdm(total=int(goes["size_bytes"].sum()), unit="B", unit_scale=True, desc="Pruning", disable=None) as bar:
            for row in goes.itertuples():
                outcome[row.Index] = _remove(data / str(row.path))
                bar.update(row.size_bytes)
    ledger = planned.assign(outcome=outcome)
    if failed := ledger.loc[outcome.str.startswith(FAILED), "path"].tolist():
        logger.warning("%d of %d couldn't be removed, first %s: see the ledger", len(failed), len(goes), failed[0])
    return ledger[LEDGER_COLUMNS]


def in_words(ledger: pd.DataFrame) -> str:
    """What stays and what goes, in lines for the console."""
    lines = [f"{'Runs that stay:':<24}{ledger.loc[ledger['stays'] & ledger['run'].ne(''), 'run'].nunique():,}"]
    for outcome in (KEPT, PLANNED, REMOVED, FAILED):
        rows = ledger[ledger["outcome"].str.startswith(outcome)]
        if len(rows):
            size = f"{rows['size_bytes'].sum() / 1e6:,.1f} MB in {rows['num_files'].sum():,} files"
            lines.append(f"{outcome.capitalize() + ':':<24}{size} ({len(rows):,} entries)")
    if ledger["outcome"].eq(PLANNED).any():
        lines.append("To remove it: the same command with --params=prune.remove=true (more parameters by commas)")
    return "\n".join(lines)


def _row(data: Path, path: Path, run: str, kind: str, why: str | None) -> tuple[object, ...]:
    size_bytes, num_files = size_of(path)
    told = why or "nothing that stays needs it"
    return path.relative_to(data).as_posix(), run, kind, why is not None, told, num_files, size_bytes


def _packed(data: Path, found: Iterable[Artifact], why: Mapping[str, str]) -> Iterator[tuple[Path, str | None]]:
    """Packed files, and why they stay: they are shared by runs, which name them."""
    names: dict[str, str] = {}
    for artifact in found:
        if Path(artifact.name).name == STORE and artifact.version in why and (note := read_note(artifact, data)):
            names.setdefault(str(note.get("packed")), f"the run of {artifact.version} names it")
    yield from ((path, names.get(path.name)) for path in packed_files(data))


def _notes(data: Path, found: Iterable[Artifact], why: Mapping[str, str]) -> Iterator[tuple[Path, str, str | None]]:
    """Notes of finished nodes, which lead to artifacts of a run."""
    there = {artifact.version for artifact in found}
    for path in sorted((data / FINISHED).glob("*.json")):
        try:
            run = str(json.loads(path.read_text(encoding="utf-8"))["version"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it leads nowhere, and is overwritten
        yield path, run, why.get(run) if run in there else None


def _remove(path: Path) -> str:
    """Take a path out of sight in one step, then remove it; links in it go, and what they lead to stays."""
    aside = temporary_name(path)
    try:
        path.rename(aside)
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink()
    except OSError as error:
        return f"{FAILED}: {error.strerror or error}"
    return REMOVED
