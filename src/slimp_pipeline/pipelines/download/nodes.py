"""A cohort's files, got and put in place."""

from pathlib import Path
from typing import Any

import pandas as pd

from slimp_pipeline.cohorts.downloads.landing import land_cohort
from slimp_pipeline.cohorts.downloads.run import fetch_cohort
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.parameters import DownloadParams


def fetch(cohort: CohortSpec, raw_root: str, settings: DownloadParams) -> pd.DataFrame:
    """Get what is asked for; account for all of it."""
    return fetch_cohort(cohort, Path(raw_root), settings)


def land(cohort: CohortSpec, raw_root: str, settings: DownloadParams, ledger: pd.DataFrame) -> dict[str, Any]:
    """Put it in the cohort's folder, unless something is missing."""
    return land_cohort(cohort, Path(raw_root), settings, ledger)
