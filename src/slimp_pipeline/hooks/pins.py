"""Which version a run reads of what earlier runs left: what belongs together, and is whole."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from kedro.io import DataCatalog

from slimp_pipeline.datasets.versioned import OwnVersionDataset

logger = logging.getLogger(__name__)
STAGES = ("evaluate", "extrapolate", "pretrain")  # what rests on what: the later are read by the earlier
_NUM_NAMED = 3  # of artifacts that a run lacks


def pins_of(
    names: set[str], asked: Mapping[str, str], outputs: Mapping[str, set[str]], catalog: DataCatalog
) -> dict[str, str]:
    """Version by dataset: what one stage wrote is read as one run left it, and with what that run rested on.

    Where a version of one of a stage's artifacts is asked for, it holds for the others.
    """
    own, rest = {}, set(names)
    for stage in STAGES:
        own[stage] = rest & outputs[stage]
        rest -= own[stage]
    chosen = {stage: _asked_of(outputs[stage], asked) for stage in STAGES}
    if own["evaluate"] and not chosen["evaluate"]:
        chosen["evaluate"] = _newest_evaluation(own["evaluate"], own["pretrain"], chosen["pretrain"], catalog)
    if (evaluation := chosen["evaluate"]) and not chosen["pretrain"]:
        chosen["pretrain"] = _rests_on(evaluation, catalog)
    pins = {name: _newest_whole({name}, catalog, name) for name in rest}
    for stage, artifacts in own.items():
        if artifacts:
            version = chosen[stage] or _newest_whole(artifacts, catalog, stage)
            _require_there(artifacts, version, catalog)
            pins |= dict.fromkeys(artifacts, version)
    return pins


def _asked_of(artifacts: set[str], asked: Mapping[str, str]) -> str | None:
    """The one version that is asked for of a stage's artifacts."""
    wanted = {asked[name] for name in artifacts & asked.keys()}
    return wanted.pop() if len(wanted) == 1 else None


def _newest_evaluation(names: set[str], of: set[str], asked: str | None, catalog: DataCatalog) -> str:
    """Newest whole version of an evaluation that rests on the pre-training that is read.

    The evaluations of a target lie together, whichever source cohort their encoders are of.

    Args:
        names: The evaluation's artifacts.
        of: The pre-training's; none where nothing of it is read.
        asked: Its version, where one is asked for.
        catalog: Has them all.

    Raises:
        FileNotFoundError: If there is none.
    """
    newest = _newest_whole(names, catalog, "evaluate")
    if not (of or asked):
        return newest
    found = newest_resting(whole_versions(names, catalog), {asked} if asked else whole_versions(of, catalog), catalog)
    if found == newest:
        return newest
    on = _rests_on(newest, catalog)
    rests = f"The newest evaluation, of {newest}, rests on the run of {on}"
    if not asked:
        absent = ", ".join(sorted(name for name in of if on not in versions_of(catalog, name)))
        rests += f", of which {absent} isn't there: it is of another source cohort, or was removed"
    if found is None:
        wanted = f"the run of {asked}, which is asked for" if asked else "a pre-training that is there"
        raise FileNotFoundError(
            f"no evaluation rests on {wanted}. {rests}. Run `kedro run --pipeline=evaluate` with these settings, or "
            "name other versions by --load-versions."
        )
    if not asked:
        logger.warning("%s. That of %s is read.", rests, found)
    return found


def newest_resting(evaluations: set[str], pretrained: set[str], catalog: DataCatalog) -> str | None:
    """Newest of an evaluation's versions that rests on one of a pre-training's, or noted nothing."""
    newest_first = sorted(evaluations, reverse=True)
    return next((version for version in newest_first if _rests_on(version, catalog) in {None, *pretrained}), None)


def whole_versions(names: Iterable[str], catalog: DataCatalog) -> set[str]:
    """Versions of which all these artifacts are there."""
    return set.intersection(*(versions_of(catalog, name) for name in names))


def _newest_whole(names: Iterable[str], catalog: DataCatalog, stage: str) -> str:
    """Newest version of which all these artifacts are there.

    Raises:
        FileNotFoundError: If there is none; says what the newest run lacks.
    """
    there = {name: versions_of(catalog, name) for name in names}
    known, whole = set().union(*there.values()), whole_versions(there, catalog)
    newest = max(known, default=None)
    absent = sorted(name for name in there if newest not in there[name])
    if not whole:
        found = f"the run of {newest} left no {', '.join(absent)}" if newest else "nothing is there"
        raise FileNotFoundError(
            f"no run has left all of {', '.join(sorted(there))}: {found}. Run `kedro run --pipeline={stage}` to its "
            "end, or name versions by --load-versions."
        )
    if newest != max(whole):
        named = ", ".join(absent[:_NUM_NAMED]) + (f" and {more} more" if (more := len(absent) - _NUM_NAMED) > 0 else "")
        logger.warning(
            "The run of %s left no %s: it was of another pipeline, or didn't end. That of %s is read.",
            newest, named, max(whole),
        )  # fmt: skip
    return max(whole)


def _rests_on(version: str, catalog: DataCatalog) -> str | None:
    """Version of the pre-training that an evaluation rests on, as it noted; None where it noted nothing."""
    dataset = versioned(catalog, "evaluation_lineage")
    if dataset is None or version not in dataset.list_versions(full_path=False):
        return None
    dataset.pin(version)
    return str(dataset.load()["pretrain"])


def _require_there(names: Iterable[str], version: str, catalog: DataCatalog) -> None:
    if absent := sorted(name for name in names if version not in versions_of(catalog, name)):
        raise FileNotFoundError(
            f"what is read rests on the run of {version}, of which {', '.join(absent)} isn't there (any more). Name "
            "another version by --load-versions, or run the stages before this one again."
        )


def versioned(catalog: DataCatalog, name: str) -> OwnVersionDataset[Any] | None:
    """A versioned dataset of the catalog; None where it is none."""
    if name.startswith("params:") or name not in catalog:
        return None
    dataset = catalog[name]
    return dataset if isinstance(dataset, OwnVersionDataset) and dataset.has_versions else None


def versions_of(catalog: DataCatalog, name: str) -> set[str]:
    """Versions that are there; none of a dataset that isn't versioned."""
    dataset = versioned(catalog, name)
    return set(dataset.list_versions(full_path=False)) if dataset else set()
