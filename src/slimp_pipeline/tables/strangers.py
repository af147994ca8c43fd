"""Strangers' metadata: a control. What metadata of other patients teach or add isn't what metadata say of a lesion."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from slimp_pipeline.tables.encoding import Encoding, LevelEncoding


def shuffled_between_patients(
    patient_N: np.ndarray, rng: np.random.Generator, within: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """For each row, the row that lends its metadata: of another patient, the same one for all of a patient's rows.

    Args:
        patient_N: Patient of each row, of two patients at least.
        rng: Of the draw.
        within: Places of each row, the larger ones first, such as its cohort and its site: a patient of the same
            place lends, where there is another, from the smallest on. A patient of several is taken for one of the
            first.

    Returns:
        Positions, int (N,). A patient with more rows than its lender takes the lender's in turn, over again.
    """
    number_N, ids = pd.factorize(patient_N)
    first_P = np.unique(number_N, return_index=True)[1]
    places = [pd.factorize(place_N[first_P], use_na_sentinel=False)[0] for place_N in within]
    lender_P = np.empty(len(ids), dtype=np.int64)
    for cycle in _circles(np.arange(len(ids)), places, rng):
        lender_P[cycle] = np.roll(cycle, 1)  # round in a circle: nobody lends to themselves
    rows_of = np.split(np.argsort(number_N, kind="stable"), np.cumsum(np.bincount(number_N))[:-1])
    donor_N = np.empty(len(number_N), dtype=np.int64)
    for number, rows in enumerate(rows_of):
        donor_N[rows] = np.resize(rng.permutation(rows_of[lender_P[number]]), len(rows))
    return donor_N


def with_strangers_metadata(
    lesions: pd.DataFrame, patients: pd.DataFrame, encoding: Encoding, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give every patient the metadata of another one, of the same cohort, and site where sites are known.

    Args:
        lesions: patient_id, fields of lesions (with three levels lesion_id, and fields of pictures); site_id where
            sites are known, cohort where there are several.
        patients: patient_id, patient-level fields.
        encoding: Which fields are read.
        seed: Of the draw.

    Returns:
        Copies of both: the lesion-level fields of a patient's rows are the lender's, and so are the patient's own.
        With three levels a lesion has one lender, whose pictures lend to its pictures in turn.
    """
    patient_N = lesions["patient_id"].to_numpy()
    number_N = encoding.lesion_numbers(lesions)
    first_K = np.unique(number_N, return_index=True)[1]
    within = [lesions[name].to_numpy(dtype=object)[first_K] for name in ("cohort", "site_id") if name in lesions]
    donor_K = shuffled_between_patients(patient_N[first_K], np.random.default_rng(seed), within)
    donor_N = _donor_rows(number_N, donor_K)
    lender = pd.Series(patient_N[donor_N], index=patient_N)
    lender = lender[~lender.index.duplicated()]
    here = patients["patient_id"].isin(lender.index)
    row_of = pd.Series(np.arange(len(patients)), index=patients["patient_id"])
    donor_P = np.arange(len(patients))
    donor_P[here] = row_of[lender[patients.loc[here, "patient_id"]]]
    return _lent(lesions, donor_N, encoding.of_rows), _lent(patients, donor_P, encoding.patient)


def _donor_rows(number_N: np.ndarray, donor_K: np.ndarray) -> np.ndarray:
    """Row that lends to each row, where a lesion lends to each lesion: its rows in turn, over again."""
    order_N, size_K = np.argsort(number_N, kind="stable"), np.bincount(number_N)
    start_K = np.cumsum(size_K) - size_K
    place_N = np.empty(len(number_N), dtype=np.int64)
    place_N[order_N] = np.arange(len(number_N)) - start_K[number_N[order_N]]
    donor_N = donor_K[number_N]
    return order_N[start_K[donor_N] + place_N % size_K[donor_N]]


def _circles(patients: np.ndarray, places: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Patients in circles, by place; who is alone at theirs joins the largest circle of the place around it."""
    if not places:
        return [rng.permutation(patients)]
    own = places[0][patients]
    parts = (_circles(patients[own == place], places[1:], rng) for place in np.unique(own))
    circles = sorted(itertools.chain.from_iterable(parts), key=len)
    alone = [circle for circle in circles[:-1] if len(circle) == 1]
    others = [circle for circle in circles[:-1] if len(circle) > 1]
    return [*others, np.concatenate([circles[-1], *alone])]


def _lent(table: pd.DataFrame, donor_N: np.ndarray, level: LevelEncoding) -> pd.DataFrame:
    columns = [column for name in level.fields for column in level.columns(name) if column in table]
    return table.assign(**{column: table[column].array[donor_N] for column in columns})
