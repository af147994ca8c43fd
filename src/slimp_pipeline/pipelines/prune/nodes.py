"""What earlier runs left: which of it is needed, and the removal of the rest."""

import logging
from collections.abc import Callable

import pandas as pd

from slimp_pipeline.housekeeping import prune
from slimp_pipeline.parameters import PruneParams

logger = logging.getLogger(__name__)


def plan_removal(data_root: str, settings: PruneParams, registered_runs: Callable[[], dict[str, str]]) -> pd.DataFrame:
    """Say of everything whether it stays, and why."""
    return prune.plan(prune.local_folder(data_root), settings, registered_runs())


def remove_planned(
    data_root: str, planned: pd.DataFrame, settings: PruneParams, registered_runs: Callable[[], dict[str, str]]
) -> pd.DataFrame:
    """Remove what doesn't stay, if that is asked for."""
    ledger = prune.remove_planned(prune.local_folder(data_root), planned, settings, registered_runs())
    logger.info("%s", prune.in_words(ledger))
    return ledger
