"""Patient-disjoint splits: stratified folds, a hold-out, or an official split file; of whole sites where asked for.

A split by lesion or by image exists to show what the leak would add, and for nothing else.
"""

import hashlib
import warnings
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from slimp_pipeline.cohorts.files.table_file import read_table
from slimp_pipeline.cohorts.text import table_as_meant
from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.tables.csv_cells import unguard_formulas
from slimp_pipeline.tables.sites import check_sites_whole, site_groups

HOLDOUT = "holdout"
ALL = "all"  # the partition of a cohort that isn't tested on: every row trains
_MAX_PARTS = 50  # the hold-out is a number of parts of the cohort, of at most so many
_TEST_NAMES, _TRAIN_NAMES = (
    {"test", "holdout", "hold-out"},
    {"train", "training", "val", "valid", "validation"},
)


def split_patients(lesions: pd.DataFrame, settings: FeatureParams) -> pd.DataFrame:
    """Split a cohort by patient, stratified by diagnosis, seeded.

    Args:
        lesions: Rows to split: image_id, patient_id, diagnosis; lesion_id or site_id where these are held out.
        settings: Seed, number of folds, hold-out share or official split file.

    Returns:
        image_id, patient_id, split (`train` or `test`), fold (0..K-1; -1 in the hold-out, and where no folds are
        asked for); sorted by image_id. Each patient (with `split_level` each site, lesion or image) has one split and
        one fold.

    Raises:
        ValueError: If there are fewer patients (sites) than folds, sites are asked for and aren't known, or the
            official split file can't be read, leaves an image out or breaks a patient (site) apart.
    """
    splits = lesions[["image_id", "patient_id"]].copy()
    labels = lesions["diagnosis"].fillna("(no label)").to_numpy()
    groups = (
        site_groups(lesions) if settings.split_level == "site" else lesions[f"{settings.split_level}_id"].to_numpy()
    )
    path, folds = settings.split_file, None
    if path is None:
        in_test = _draw_holdout(labels, groups, settings)
    else:
        official = _read_split_file(path)
        in_test = _official_test(lesions, official, path)
        folds = _published_folds(lesions, in_test, official, path) if settings.num_folds else None
    splits["split"] = np.where(in_test, "test", "train")
    splits["fold"] = -1
    if folds is not None:
        splits["fold"] = folds
    elif settings.num_folds:
        drawn = _folds(labels[~in_test], groups[~in_test], settings.num_folds, settings.seed, settings)
        splits.loc[~in_test, "fold"] = drawn
    elif not in_test.any():
        raise ValueError(
            "features.num_folds is 0, which tests the hold-out alone, and there is none. Set features.holdout_share "
            "above 0, give a split file that names test images, or ask for folds."
        )
    if settings.split_level == "site":
        check_sites_whole(splits, groups)
    splits = splits.sort_values("image_id", ignore_index=True)
    if not settings.leaks:
        check_patient_disjoint(splits)
    return splits


def names_images(path: Path, lesions: pd.DataFrame) -> bool:
    """Whether a split file names any image of a cohort."""
    return bool(lesions["image_id"].isin(_read_split_file(path)["image_id"]).any())


def partition_names(splits: pd.DataFrame) -> list[str]:
    """Names of the train/test partitions: one per fold, then the hold-out if there is one."""
    folds = sorted(set(splits["fold"]) - {-1})
    names = [f"fold_{fold}" for fold in folds]
    return [*names, HOLDOUT] if splits["split"].eq("test").any() else names


def partition(splits: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the training and test rows of a partition as boolean arrays over `splits`.

    `fold_k` tests on fold k and trains on the other folds; `holdout` tests on the hold-out and trains on
    all folds. The hold-out is in no fold's training rows.
    """
    in_folds = splits["split"].eq("train").to_numpy()
    if name == HOLDOUT:
        return in_folds, ~in_folds
    in_fold = splits["fold"].eq(int(name.removeprefix("fold_"))).to_numpy()
    return in_folds & ~in_fold, in_fold


def training_partitions(splits: pd.DataFrame, *, tested_N: np.ndarray | None) -> dict[str, pd.DataFrame]:
    """Rows that each pre-training may see.

    Args:
        splits: Of the source, which may be several cohorts.
        tested_N: Which rows are of the cohort that is tested on, bool: one pre-training for each of its partitions, on
            that one's training rows, and on all rows of the other cohorts but those of its test patients. None: it
            isn't among them, and there is one pre-training on every row.

    Returns:
        Partition name -> image_id and patient_id of its training rows.
    """
    columns = ["image_id", "patient_id"]
    if tested_N is None:
        return {ALL: splits[columns]}
    tested, rows = splits[tested_N], {}
    for name in partition_names(tested):
        training, in_test = partition(tested, name)
        seen_N = ~tested_N & ~splits["patient_id"].isin(tested.loc[in_test, "patient_id"])
        seen_N[tested_N] = training
        rows[name] = splits.loc[seen_N, columns]
    return rows


def rows_digest(image_ids: Iterable[str]) -> str:
    """Digest of a set of rows, by which an encoder and the rows that it was trained on find each other."""
    return hashlib.sha256("\n".join(sorted(image_ids)).encode()).hexdigest()[:20]


def patients_torn_apart(splits: pd.DataFrame) -> pd.Index:
    """Patients who stand in two splits or two folds; none unless a split leaks."""
    counts = splits.groupby("patient_id")[["split", "fold"]].nunique().max(axis=1)
    return counts.index[counts > 1]


def check_patient_disjoint(splits: pd.DataFrame) -> None:
    """Raise ValueError if a patient stands in two splits or two folds."""
    if (broken := patients_torn_apart(splits)).size:
        raise ValueError(
            f"{broken.size} patients stand in several splits or folds, first: {broken[0]}. "
            "Splits must be patient-disjoint."
        )


def _folds(labels: np.ndarray, groups: np.ndarray, num_folds: int, seed: int, settings: FeatureParams) -> np.ndarray:
    num_groups = len(np.unique(groups))
    if num_groups < num_folds:
        raise ValueError(
            f"{num_groups} {_held_out_whole(settings)} can't fill {num_folds} folds. Set features.num_folds lower."
        )
    if np.unique(labels, return_counts=True)[1].max() < num_folds:
        labels = np.zeros(len(labels), dtype=np.int64)  # no class fills the folds: there is nothing to stratify by
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds is spread as it can be
        for fold, (_, test) in enumerate(splitter.split(labels, labels, groups)):
            folds[test] = fold
    return folds


def _draw_holdout(labels: np.ndarray, groups: np.ndarray, settings: FeatureParams) -> np.ndarray:
    if settings.holdout_share == 0:
        return np.zeros(len(labels), dtype=bool)
    if (num_groups := len(np.unique(groups))) < 2:
        raise ValueError(f"there are fewer than two {_held_out_whole(settings)}: none can be held out.")
    share = Fraction(settings.holdout_share).limit_denominator(min(_MAX_PARTS, num_groups))
    if share == 0:
        share = Fraction(1, min(_MAX_PARTS, num_groups))
    num_parts = max(2, share.denominator)
    num_taken = round(share * num_parts)
    return _folds(labels, groups, num_parts, settings.seed + 1, settings) < num_taken


def _held_out_whole(settings: FeatureParams) -> str:
    return "groups of sites" if settings.split_level == "site" else "patients"


def _read_split_file(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ValueError(f"features.split_file: no file {path}")
    table = unguard_formulas(table_as_meant(read_table(path))[0])  # it may be one that a run published
    columns = {name.lower(): name for name in table}
    id_column = next((columns[name] for name in ("image_id", "isic_id", "image") if name in columns), None)
    if id_column is None or "split" not in columns:
        raise ValueError(f"{path}: needs the columns image_id and split, has {', '.join(table.columns)}")
    names = {id_column: "image_id"} | {columns[name]: name for name in ("split", "fold") if name in columns}
    table = table[list(names)].rename(columns=names)
    table = table.assign(split=table["split"].str.lower()).drop_duplicates()
    if (repeated := table["image_id"].duplicated()).any():
        raise ValueError(f"{path}: image {table['image_id'][repeated].iloc[0]} stands in several splits or folds")
    return table


def _official_test(lesions: pd.DataFrame, table: pd.DataFrame, path: Path) -> np.ndarray:
    split = lesions["image_id"].str.strip().map(table.set_index("image_id")["split"]).replace("", np.nan)
    if (absent := split.isna()).any():
        raise ValueError(
            f"{path}: {absent.sum()} of {len(lesions)} images have no split, first: "
            f"{lesions['image_id'][absent].iloc[0]}"
        )
    if (unknown := ~split.isin(_TEST_NAMES | _TRAIN_NAMES)).any():
        raise ValueError(f"{path}: unknown split '{split[unknown].iloc[0]}'; known are train, val, test")
    in_test = split.isin(_TEST_NAMES)
    sides = in_test.groupby(lesions["patient_id"]).nunique()
    if (broken := sides[sides > 1]).size:
        raise ValueError(f"{path}: patient {broken.index[0]} stands in both train and test")
    return in_test.to_numpy()


def _published_folds(lesions: pd.DataFrame, in_test: np.ndarray, table: pd.DataFrame, path: Path) -> np.ndarray | None:
    """Folds of a split file as `splits.csv` has them, -1 on test; None where it has none."""
    if "fold" not in table:
        return None
    written = lesions["image_id"].str.strip().map(table.set_index("image_id")["fold"])
    folds = pd.to_numeric(written, errors="coerce").mask(in_test, -1)
    if (broken := ~in_test & ~(folds.ge(0) & folds.mod(1).eq(0))).any():
        raise ValueError(
            f"{path}: {broken.sum()} training images have no fold (a whole number from 0), first: "
            f"{lesions['image_id'][broken].iloc[0]} with '{written.fillna('')[broken].iloc[0]}'. "
            "Give every training image one, or leave the column fold out."
        )
    if folds[~in_test].nunique() < 2:
        raise ValueError(
            f"{path}: all training images are in one fold; give at least two, or leave the column fold out"
        )
    return folds.to_numpy(dtype=np.int64)


def usable_rows(lesions: pd.DataFrame) -> pd.DataFrame:
    """Rows that are split: those with an image; in a cohort of tables alone, all."""
    with_image = lesions["store_index"].notna()
    return lesions[with_image].reset_index(drop=True) if with_image.any() else lesions
