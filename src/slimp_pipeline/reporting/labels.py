"""What methods, protocols and metrics are called where people read them, and in which order they stand."""

from collections.abc import Iterable

_PRETRAINED = {
    "slimp": "SLIMP",
    "slimp_paper": "SLIMP, paper form",
    "flat": "flat contrast",
    "inner_only": "inner level only",
    "outer_only": "outer level only",
    "simclr": "SimCLR",
}
_ADAPTED = {f"{method}_adapted": f"{name}, adapted" for method, name in _PRETRAINED.items()}
METHOD_NAMES = {
    **_PRETRAINED,
    **_ADAPTED,
    "initial_weights": "initial weights",
    "random_init": "random init",
    "initial_weights_adapted": "initial weights, the target's fields",
    "random_init_adapted": "random init, the target's fields",
    "metadata_linear": "metadata, linear",
    "metadata_gbdt": "metadata, boosted trees",
    "ugly_duckling_gbdt": "metadata relative to the patient, boosted trees",
    "fused_gbdt": "image and metadata, boosted trees",
    "supervised": "supervised",
    "chance": "chance",
    "chance_adapted": "chance, for the adapted encoder",
}
METRIC_NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "macro_auroc": "macro AUROC",
    "malignant_auroc": "malignant AUROC",
    "pauc_above_80_tpr": "pAUC > 80 % TPR",
    "sensitivity_at_95_specificity": "sensitivity at 95 % specificity",
    "ece": "calibration error",
}
COMPARED = (
    "balanced_accuracy",
    "macro_auroc",
    "malignant_auroc",
    "pauc_above_80_tpr",
)  # metrics differences are shown in
PROTOCOL_NAMES = {
    "linear_probe": "linear probe",
    "linear_probe_calibrated": "linear probe, calibrated by a temperature",
    "linear_probe_f1": "linear probe, class weights chosen for macro-F1",
    "knn": "k-NN, plain vote",
    "knn_prior_weighted": "k-NN, prior-weighted vote",
    "baseline": "baseline",
    "low_shot": "linear probe, few labels",
    "fine_tune": "fine-tuning",
    "retrieval": "retrieval",
}
UNLABELLED = "unlabelled"
# Okabe-Ito: told apart by colour-blind readers.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]
# A page has one pre-trained method. Baselines share colours with encoders: they have a symbol of their own.
_METHOD_COLOURS = {
    **dict.fromkeys(_PRETRAINED, COLOURS[0]),
    **dict.fromkeys(_ADAPTED, COLOURS[5]),
    "initial_weights": COLOURS[1],
    "random_init": COLOURS[2],
    "initial_weights_adapted": COLOURS[4],
    "random_init_adapted": COLOURS[6],
    "supervised": COLOURS[7],
    "metadata_linear": COLOURS[3],
    "metadata_gbdt": COLOURS[0],
    "ugly_duckling_gbdt": COLOURS[1],
    "fused_gbdt": COLOURS[2],
}


def verdict(low: float, high: float) -> str:
    """What an interval of a difference says; one that couldn't be measured shows none."""
    return "outside noise" if low > 0 or high < 0 else "within noise"


def method_name(method: str) -> str:
    """Name of a method, of one run if that stands behind it; one without a name of its own keeps its identifier."""
    method, bracket, run = method.partition(" (")
    return METHOD_NAMES.get(method, method.replace("_", " ")) + bracket + run


def features_name(features: str) -> str:
    """Name of a feature set: its blocks, spaced."""
    return features.replace("+", " + ").replace("_", " ")


def in_order(methods: Iterable[str]) -> list[str]:
    """Distinct methods: those of METHOD_NAMES in its order, then the others as they came."""
    found = list(dict.fromkeys(methods))
    return [name for name in METHOD_NAMES if name in found] + [name for name in found if name not in METHOD_NAMES]


def method_colour(method: str) -> str:
    """Colour of a method, the same in every figure."""
    return _METHOD_COLOURS.get(method, "#666666")
