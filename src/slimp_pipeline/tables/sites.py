"""Sites that are held out whole: hospitals, clinics or departments, with the patients whom they share."""

import logging

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

logger = logging.getLogger(__name__)
_NOT_KNOWN = -1  # group of the patients of whom no site is known


def site_groups(lesions: pd.DataFrame) -> np.ndarray:
    """Number the groups of rows that have to stay together: all of a site, and of sites that share a patient.

    A row whose site isn't known goes with its patient's others. Patients of whom no site is known are one more group.

    Args:
        lesions: patient_id, site_id.

    Returns:
        Group of each row, int (N,).

    Raises:
        ValueError: If the cohort names no column of sites, or fewer than two sites are known.
    """
    if "site_id" not in lesions:
        raise ValueError(
            "features.split_level is site, and this cohort doesn't say which column names the site. Add "
            "`site_id: <column>` to its YAML, or split by patient."
        )
    patient_N, patients = pd.factorize(lesions["patient_id"])
    site_N, sites = pd.factorize(lesions["site_id"])
    if len(sites) < 2:
        raise ValueError(
            f"features.split_level is site, and {'all rows are of one site' if len(sites) else 'no site is known'}: "
            "none can be held out. Split by patient."
        )
    known_N, num_nodes = site_N >= 0, len(patients) + len(sites)
    seen_at = (patient_N[known_N], len(patients) + site_N[known_N])
    met = coo_array((np.ones(known_N.sum()), seen_at), shape=(num_nodes, num_nodes))
    group_P = connected_components(met, directed=False)[1][: len(patients)]
    has_site_P = np.isin(np.arange(len(patients)), patient_N[known_N])
    if (num_groups := len(np.unique(group_P[has_site_P]))) < len(sites):
        logger.warning(
            "%d sites are %d groups to be held out: some patients were seen at several sites", len(sites), num_groups
        )
    if not has_site_P.all():
        logger.warning("%d patients have no known site: they are held out together", (~has_site_P).sum())
    return np.where(has_site_P, group_P, _NOT_KNOWN)[patient_N]


def check_sites_whole(splits: pd.DataFrame, group_N: np.ndarray) -> None:
    """Raise ValueError if a group of sites stands in two splits or two folds, by a split file's doing."""
    counts = splits.groupby(group_N)[["split", "fold"]].nunique().max(axis=1)
    if num_torn := int((counts > 1).sum()):
        raise ValueError(
            f"features.split_level is site, and the split file puts rows of {num_torn} sites, or groups of sites that "
            "share patients, into several splits or folds. Give a file that keeps sites whole, or none."
        )
