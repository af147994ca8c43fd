"""Small inputs of a report: two classes, one of them with a hostile name."""

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.records import DIFFERENCE_COLUMNS, RESULT_COLUMNS
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.reporting import figures
from slimp_pipeline.reporting.page import Role

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
CLASSES = [HOSTILE, "NEV"]
METRICS = ("balanced_accuracy", "macro_f1", "macro_auroc", "malignant_auroc", "pauc_above_80_tpr", "ece")
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@pytest.fixture
def results():
    rng, rows = np.random.default_rng(0), []
    methods = ["random_init", "initial_weights", "slimp"]  # not the order of the page
    conditions = [(m, f, p) for m in methods for f in ("image", "image+lesion") for p in ("linear_probe", "knn")]
    for method, features, protocol in [("metadata_linear", "metadata", "baseline"), *conditions]:
        for draw in ("0", "1", "all"):
            for metric in METRICS:
                value = round(rng.uniform(0.3, 0.7), 3)
                line = ["small", method, features, protocol, "all", draw, metric, value, value - 0.1, value + 0.2]
                rows.append([*line, 30, 10])
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


@pytest.fixture
def differences():
    rows = [
        ["small", "slimp", reference, features, "linear_probe", "all", metric, 0.05, low, 0.1]
        for reference, low in (("random_init", 0.01), ("initial_weights", -0.02), ("metadata_linear", -0.01))
        for features in ("image", "image+lesion")
        for metric in METRICS
    ]
    return pd.DataFrame([[*row, len(rows)] for row in rows], columns=DIFFERENCE_COLUMNS)


@pytest.fixture
def predictions():
    rng, tables = np.random.default_rng(1), []
    for method in ("random_init", "slimp"):
        scores = rng.random(40)
        table = pd.DataFrame({"method": method, "features": "image", "protocol": "linear_probe"}, index=range(40))
        table["draw"] = np.repeat(["0", "1"], 20)
        table["label"] = np.tile(CLASSES, 20)
        table["predicted"] = np.where(scores > 0.5, *CLASSES)
        tables.append(table.assign(**{f"score.{CLASSES[0]}": scores, "score.NEV": 1 - scores}))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def history():
    names = ("loss", "validation_loss", "lesion_effective_rank", "patient_effective_rank")
    rows = [
        [partition, epoch * 3, epoch, name, 5 / epoch + position]
        for partition in ("fold_0", "fold_1")
        for epoch in (1, 2, 3)
        for position, name in enumerate(names)
    ]
    return pd.DataFrame(rows, columns=["partition", "step", "epoch", "name", "value"])


@pytest.fixture
def splits():
    ids = {"image_id": [f"secret-{n}" for n in range(40)], "patient_id": [f"person-{n // 2}" for n in range(40)]}
    fold = np.repeat([0, 1, -1], [16, 16, 8])
    return pd.DataFrame(ids).assign(split=np.where(fold < 0, "test", "train"), fold=fold)


@pytest.fixture
def roles(splits):
    counts = (
        "rows rows_quarantined rows_with_image rows_without_image images_without_row patients patients_with_image "
        "rows_without_patient_id lesions"
    )
    manifest = {f"num_{name}": 1234 for name in counts.split(" ")} | {
        "cohort": "small",
        "title": "Small cohort & <b>more</b>",
        "licence": "CC BY 4.0",
        "fingerprint": "0123456789abcdef",
        "open_licence": True,
        "diagnoses": {HOSTILE: 20, "NEV": 18, "nan": 2},
        "quarantine_reasons": {"age_years: <impossible>": 3},
    }
    duplicates = pd.DataFrame({"kind": ["near", "same bytes"], "across_folds": [True, False]})
    conflicts = pd.DataFrame({"patient_id": ["person-1"], "field": ["age_years"]})
    return [Role(name, manifest, splits, duplicates, conflicts) for name in ("source", "target")]


@pytest.fixture
def drawn(results, predictions, history, splits):
    task = Task(splits, np.tile([0, 1], 20), CLASSES, np.array([True, False]))
    embeddings = {"slimp.fold_0.image": np.random.default_rng(0).normal(size=(40, 5))}
    return {
        "history": figures.history_figure(history),
        "health": figures.health_figure(history),
        "results": figures.results_figure(results),
        "roc": figures.roc_figure(predictions, CLASSES, np.array([True, False])),
        "confusion": figures.confusion_figure(predictions, CLASSES),
        "embedding_map": figures.embedding_map(task, np.ones(40, dtype=bool), embeddings, 0),
    }


@pytest.fixture
def gallery():
    return [[{"src": PIXEL, "label": HOSTILE, "image_id": ""}] * 5] * 3
