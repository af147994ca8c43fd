"""Raw files: found, or fabricated."""

from pathlib import Path

import pandas as pd

from slimp_pipeline.cohorts.files.raw_files import find_raw_files
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.tables.combined import put_together


def provide_raw_files(cohort: CohortSpec, raw_root: str, fabricated_root: str) -> pd.DataFrame:
    """List a cohort's raw files; a fabricated cohort is made first if it isn't there."""
    found = [find_raw_files(part, Path(raw_root), Path(fabricated_root)) for part in cohort.parts]
    return put_together(cohort, found)
