"""Linear probe: logistic regression on frozen features, its strength chosen inside the training patients."""

import warnings
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import ThreadpoolController

from slimp_pipeline.evaluation.features.blocks import Scaling
from slimp_pipeline.evaluation.measures.calibration import fit_class_weights, fit_temperature
from slimp_pipeline.evaluation.protocols.logistic import LinearModels, fit_logistic
from slimp_pipeline.evaluation.protocols.thinning import thin
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.parameters import EvaluationParams, ProbeParams
from slimp_pipeline.training.device import pick_device

_CPU = torch.device("cpu")
_ROWS_AT_ONCE = 2**16
_SMALL = 2**20  # numbers
_TO_CHOOSE, _TO_SCORE = 1e-3, 2e-4  # tolerances of a fit: strengths differ by more than the first leaves open


@dataclass(frozen=True)
class FittedProbe:
    """A linear probe.

    Attributes:
        model: Of all classes; those without a training row get probability 0.
        strength: The chosen strength.
        temperature: Of the log probabilities, fitted on held-out training patients; 1 where none are held out.
        weight_K: Class weights for the best macro-F1 on these patients; ones where none are, or not asked for.
    """

    model: LinearModels
    strength: float
    temperature: float
    weight_K: np.ndarray

    def scores(self, feature_ND: np.ndarray) -> np.ndarray:
        """Class probabilities, float64 (N, K)."""
        parts = np.split(feature_ND, range(_ROWS_AT_ONCE, len(feature_ND), _ROWS_AT_ONCE))
        return np.concatenate([_probabilities(self.model, part)[0] for part in parts])

    def of_unscaled(self, scaling: Scaling) -> "FittedProbe":
        """The same probe of joined blocks before they are scaled."""
        return replace(self, model=self.model.of_unscaled(*scaling.joined(), sum(scaling.widths)))


def fit_probe(
    feature_ND: np.ndarray,
    label_N: np.ndarray,
    patient_N: np.ndarray,
    num_classes: int,
    settings: ProbeParams,
    seed: int,
    device: torch.device = _CPU,
    *,
    calibrated: bool = False,
) -> FittedProbe:
    """Fit on training rows.

    The inverse penalty is the one of `settings.strengths` with the lowest class-weighted log loss over
    inner patient-grouped folds of the training rows (the stronger penalty on a tie): a proper score, which
    moves smoothly where the balanced accuracy of a few rare cases jumps. Classes are weighted inversely to
    their frequency. Both are our choice. With a single strength nothing is held out, unless `calibrated`.
    Of more than `settings.max_choice_rows` training rows so many choose, and stand for the others, as drawn by `thin`.

    Args:
        feature_ND: Features of the training rows.
        label_N: Their class numbers.
        patient_N: Their patients.
        num_classes: K.
        settings: Strengths and inner folds.
        seed: Of the inner folds.
        device: Where it is computed, in float32.
        calibrated: Hold patients out for temperature and class weights, though there is a single strength.

    Raises:
        ValueError: If the training rows are all of one class.
    """
    if len(np.unique(label_N)) < 2:
        raise ValueError("all training rows are of one class: there is nothing to tell apart")
    rows = _Rows(
        torch.from_numpy(feature_ND.astype(np.float32, copy=False)).to(device),
        torch.from_numpy(label_N.astype(np.int64, copy=False)).to(device),
        num_classes,
    )
    # Threads that wait for one another cost more than they save on matrices this small.
    with _threads().limit(limits=1 if feature_ND.size < _SMALL else None):
        strength, temperature, weight_K = _choose(rows, label_N, patient_N, settings, seed, calibrated)
        model = rows.fit(_balanced(label_N, np.ones(len(label_N), dtype=bool))[None], [strength], _TO_SCORE)
    return FittedProbe(model, strength, temperature, weight_K)


def fit_task_probe(
    task: Task, train_ND: np.ndarray, train_N: np.ndarray, settings: EvaluationParams, *, calibrated: bool = False
) -> FittedProbe:
    """Fit on the training rows of a task, bool (N,), whose features are `train_ND`, on the device of the settings."""
    labels, patients = task.label_N[train_N], task.rows["patient_id"].to_numpy()[train_N]
    device = pick_device(settings.device)
    num_classes, seed = len(task.classes), settings.seed
    return fit_probe(train_ND, labels, patients, num_classes, settings.probe, seed, device, calibrated=calibrated)


@dataclass(frozen=True)
class _Rows:
    """Training rows where they are fitted."""

    feature_ND: torch.Tensor
    label_N: torch.Tensor
    num_classes: int

    def fit(self, weight_BN: np.ndarray, strengths: list[float], tolerance: float) -> LinearModels:
        weights, strength_B = (
            torch.tensor(values, dtype=torch.float32, device=self.feature_ND.device)
            for values in (weight_BN, strengths)
        )
        return fit_logistic(self.feature_ND, self.label_N, weights, strength_B, self.num_classes, tolerance)

    def take(self, chosen: np.ndarray) -> "_Rows":
        chosen_N = torch.from_numpy(chosen).to(self.label_N.device)
        return _Rows(self.feature_ND[chosen_N], self.label_N[chosen_N], self.num_classes)


def _choose(
    rows: _Rows, label_N: np.ndarray, patient_N: np.ndarray, settings: ProbeParams, seed: int, calibrated: bool
) -> tuple[float, float, np.ndarray]:
    """Strength, the temperature that calibrates it, and class weights, by inner folds."""
    alike_K = np.ones(rows.num_classes)
    strengths = sorted(settings.strengths)
    num_folds = min(settings.num_inner_folds, len(np.unique(patient_N)), int(np.bincount(label_N).max()))
    if (len(strengths) == 1 and not calibrated) or num_folds < 2:
        return strengths[0], 1.0, alike_K
    num_rows, thinned = len(label_N), thin(label_N, rows.num_classes, settings.max_choice_rows, seed)
    rows, label_N, patient_N = rows.take(thinned.rows), label_N[thinned.rows], patient_N[thinned.rows]
    splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rare classes are spread as they can be
        folds = [
            held_out for train, held_out in splitter.split(label_N, label_N, patient_N) if _telling(label_N[train])
        ]
    if not folds:
        return strengths[0], 1.0, alike_K
    trains = [~np.isin(np.arange(len(label_N)), held_out) for held_out in folds]
    weight_FN = np.stack([_balanced(label_N, train_N) for train_N in trains]) * (num_rows / len(label_N))
    models = rows.fit(np.repeat(weight_FN, len(strengths), axis=0), strengths * len(folds), _TO_CHOOSE)
    score_SNK = np.concatenate(
        [
            _probabilities(models.take(slice(place, place + len(strengths))), rows.feature_ND[held_out])
            for place, held_out in zip(range(0, len(models), len(strengths)), folds, strict=True)
        ],
        axis=1,
    )
    held_out = label_N[np.concatenate(folds)]
    class_weights = 1 / np.maximum(np.bincount(label_N), 1)
    losses = [_log_loss(score_NK, held_out, class_weights) for score_NK in score_SNK]
    best = int(np.argmin(losses))
    stands_for_N = thinned.stands_for_K[held_out]
    weight_K = fit_class_weights(score_SNK[best], held_out, stands_for_N) if settings.for_macro_f1 else alike_K
    return strengths[best], fit_temperature(score_SNK[best], held_out, stands_for_N), weight_K


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()  # looks for libraries, which takes longer than a small fit


def _telling(labels: np.ndarray) -> bool:
    return len(np.unique(labels)) > 1


def _balanced(label_N: np.ndarray, train_N: np.ndarray) -> np.ndarray:
    """Weight of each row, float (N,): 0 where it doesn't train; else classes count alike, and a row 1 on average."""
    count_K = np.bincount(label_N[train_N], minlength=int(label_N.max()) + 1)
    return train_N * (train_N.sum() / (np.count_nonzero(count_K) * np.maximum(count_K, 1)))[label_N]


def _probabilities(model: LinearModels, feature_ND: np.ndarray | torch.Tensor) -> np.ndarray:
    """Probabilities by each model, float64 (B, N, K); rows sum to 1."""
    features = torch.as_tensor(feature_ND, dtype=torch.float32, device=model.weight_BDK.device)
    score_BNK = model.probabilities(features).double().cpu().numpy()
    return score_BNK / score_BNK.sum(axis=2, keepdims=True)


def _log_loss(score_NK: np.ndarray, labels: np.ndarray, class_weights: np.ndarray) -> float:
    """Class-weighted log loss, summed; rows of a class that the model never saw count alike for every strength."""
    of_label = np.clip(score_NK[np.arange(len(labels)), labels], 1e-6, 1)
    return float(-(class_weights[labels] * np.log(of_label)).sum())
