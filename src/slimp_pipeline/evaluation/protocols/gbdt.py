"""Gradient boosted trees on frozen features or metadata, their number chosen inside the training patients."""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from slimp_pipeline.evaluation.protocols.thinning import thin

MAX_ROUNDS = 150
MAX_ROWS = 100_000  # with a thousand columns they take about 2 GB
UNTUNED_ROUNDS = 50  # where no patients can be held out to choose
_PATIENCE_ROUNDS = 15
_NUM_INNER_FOLDS = 5  # one of them is held out
_NUM_BINS = 31
_FEW_ROWS = 1000  # whose values are looked at first
_MIN_PARALLEL_ROWS = 10_000
_TREES = {
    "learning_rate": 0.1,
    "max_depth": 3,
    "max_features": 0.2,
    "max_bins": _NUM_BINS,
    "min_samples_leaf": 5,
    "l2_regularization": 1.0,
    "class_weight": "balanced",
}


def gbdt_scores(
    blocks_ND: Sequence[np.ndarray],
    label_N: np.ndarray,
    patient_N: np.ndarray,
    train_N: np.ndarray,
    test_N: np.ndarray,
    num_classes: int,
    seed: int,
) -> np.ndarray:
    """Fit on training rows, score test rows.

    The number of rounds is that of the lowest class-weighted log loss on a fifth of the training patients, then
    all training rows are fitted; it is `UNTUNED_ROUNDS` where no such fifth has every class on both its sides.
    Of more than `MAX_ROWS` training rows so many are fitted, as `thin` draws them.
    Classes are weighted inversely to their frequency. All our choice.

    Args:
        blocks_ND: Features, each float (N, D_block); NaN where a value is missing, which trees split on as it is.
        label_N: Class numbers, int (N,), 0..num_classes-1.
        patient_N: Patient of each row, (N,).
        train_N: Which rows are fitted, bool (N,).
        test_N: Which rows are scored, bool (N,).
        num_classes: K.
        seed: Of the held-out patients, and of the columns that each split may choose from.

    Returns:
        Probabilities of the test rows, float (num_test, K), 0 for classes without a training row.

    Raises:
        ValueError: If the training rows are all of one class, or a feature is infinite.

    Source:
        Friedman 2001, Annals of Statistics 29(5):1189-1232; on histograms: Ke et al. 2017, NeurIPS (LightGBM).
    """
    labels = label_N[train_N]
    if len(np.unique(labels)) < 2:
        raise ValueError("all training rows are of one class: there is nothing to tell apart")
    if any(np.isinf(block_ND).any() for block_ND in blocks_ND):
        raise ValueError("features hold infinite values: make them NaN, which counts as missing")
    scores = np.zeros((int(test_N.sum()), num_classes))
    if len(scores):
        rows = np.flatnonzero(train_N)[thin(labels, num_classes, MAX_ROWS, seed).rows]
        train_ND, test_ND = _binned(blocks_ND, rows, test_N)
        # On few rows threads mostly wait for one another, for minutes where they share cores with other work.
        with threadpool_limits(1 if len(rows) < _MIN_PARALLEL_ROWS else None, user_api="openmp"):
            model = _fit(train_ND, label_N[rows], patient_N[rows], seed)
            scores[:, model.classes_] = model.predict_proba(test_ND)
    return scores


def _binned(blocks_ND: Sequence[np.ndarray], rows: np.ndarray, test_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features of training and of test rows, float32, of which the classifier makes its own copy.

    Values of many-valued columns become numbers of bins of equally many training rows; NaN stays NaN.
    The classifier would bin columns itself, but by class-weighted quantiles, one by one: on hundreds of rows
    and a thousand columns that takes longer than all its trees.
    """
    num_columns = sum(block_ND.shape[1] for block_ND in blocks_ND)
    train_ND, test_ND = (np.empty((num, num_columns), dtype=np.float32) for num in (len(rows), int(test_N.sum())))
    columns = (column_N for block_ND in blocks_ND for column_N in block_ND.T)
    for place, column_N in enumerate(columns):
        binned_N = _binned_column(column_N.astype(np.float64), rows)
        train_ND[:, place], test_ND[:, place] = binned_N[rows], binned_N[test_N]
    return train_ND, test_ND


def _binned_column(column_N: np.ndarray, rows: np.ndarray) -> np.ndarray:
    is_known_N = ~np.isnan(column_N)
    known = column_N[rows][is_known_N[rows]]
    if not len(known):
        column_N[:] = 0  # never seen in training: nothing to split on
    elif any(len(np.unique(some)) > _NUM_BINS for some in (known[:_FEW_ROWS], known)):
        quantiles = np.quantile(known, np.linspace(0, 1, _NUM_BINS + 1)[1:-1])
        column_N[is_known_N] = np.searchsorted(quantiles, column_N[is_known_N])
    return column_N


def _fit(features: np.ndarray, labels: np.ndarray, patients: np.ndarray, seed: int) -> HistGradientBoostingClassifier:
    num_rounds = _choose_rounds(features, labels, patients, seed)
    model = HistGradientBoostingClassifier(**_TREES, max_iter=num_rounds, early_stopping=False, random_state=seed)
    return model.fit(features, labels)


def _choose_rounds(features: np.ndarray, labels: np.ndarray, patients: np.ndarray, seed: int) -> int:
    split = _held_out(labels, patients, seed)
    if split is None:
        return UNTUNED_ROUNDS
    fitted, held_out = split
    model = HistGradientBoostingClassifier(
        **_TREES, max_iter=MAX_ROUNDS, early_stopping=True, n_iter_no_change=_PATIENCE_ROUNDS, random_state=seed
    ).fit(
        features[fitted],
        labels[fitted],
        X_val=features[held_out],
        y_val=labels[held_out],
        sample_weight_val=compute_sample_weight("balanced", labels[held_out]),
    )
    return max(1, int(np.argmax(model.validation_score_)))  # its first score is of no rounds


def _held_out(labels: np.ndarray, patients: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Row numbers to fit and to hold out: the first inner fold with every class on both sides; None without one."""
    num_folds = min(_NUM_INNER_FOLDS, len(np.unique(patients)), int(np.bincount(labels).max()))
    if num_folds < 2:
        return None
    classes = np.unique(labels)
    splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare classes are spread as they can be
        for fitted, held_out in splitter.split(labels, labels, patients):
            if all(np.array_equal(np.unique(labels[rows]), classes) for rows in (fitted, held_out)):
                return fitted, held_out
    return None
