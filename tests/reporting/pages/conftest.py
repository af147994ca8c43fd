"""Every page, with hostile text wherever text comes from outside."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slimp_pipeline.evaluation.audits.controls import CONTROL_COLUMNS
from slimp_pipeline.evaluation.audits.field_reading import READ, READING_COLUMNS
from slimp_pipeline.evaluation.audits.importance import IMPORTANCE_COLUMNS
from slimp_pipeline.evaluation.audits.known_truth import TRUTH_COLUMNS
from slimp_pipeline.evaluation.audits.leak_table import LEAK_COLUMNS
from slimp_pipeline.evaluation.audits.missingness import MISSINGNESS_COLUMNS
from slimp_pipeline.evaluation.audits.row_counts import ROW_COUNT_COLUMNS
from slimp_pipeline.evaluation.audits.saliency import SALIENCY_COLUMNS
from slimp_pipeline.evaluation.audits.subgroups import SUBGROUP_COLUMNS
from slimp_pipeline.evaluation.features.transfer import FIELDS_READ_COLUMNS
from slimp_pipeline.evaluation.measures.compare import READING_COMPARISON_COLUMNS, TRUTH_COMPARISON_COLUMNS
from slimp_pipeline.evaluation.measures.records import RESULT_COLUMNS
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.extrapolation.quality import QUALITY_COLUMNS
from slimp_pipeline.extrapolation.run import WORTH_COLUMNS
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.quality.suspects import SUSPECT_COLUMNS
from slimp_pipeline.reporting.figures.curves import precision_recall_figure, roc_figure
from slimp_pipeline.reporting.figures.embedding_map import embedding_map
from slimp_pipeline.reporting.figures.importance import importance_figure
from slimp_pipeline.reporting.figures.rows import row_counts_figure
from slimp_pipeline.reporting.figures.scores import confusion_figure, reliability_figure
from slimp_pipeline.reporting.figures.traits import phenotype_figure
from slimp_pipeline.reporting.pages.comparison import render_comparison
from slimp_pipeline.reporting.pages.explained import Explained
from slimp_pipeline.reporting.pages.extrapolation import render_extrapolation
from slimp_pipeline.reporting.pages.interactive import render_figures
from slimp_pipeline.reporting.pages.report import Pictures, Trained, render_page
from slimp_pipeline.reporting.pages.suspects import render_suspects
from slimp_pipeline.reporting.pictures.cases import picture_cases

TURNED = "\u202elamron\u202c, but turned"
HOSTILE_TEXTS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "javascript:alert(3)",
    '<a href="javascript:alert(4)">a</a>',  # Plotly draws links
    '<b style="x" onmouseover=alert(5)>b</b>',
    "</style></script><script>alert(6)</script>",
    "'><svg onload=alert(7)>",
    "{{ 7 * 7 }} {% raw %} %{x} $$x$$ &amp;lt;",
    TURNED,
    "W" * 300,
]
NUM_FIGURES = {"report": 11, "comparison": 2, "extrapolation": 2, "suspects": 0, "interactive": 11}
SETTINGS = EvaluationParams(num_resamples=20)


class Store:
    """Flat pictures."""

    def encoded(self, index):
        buffer = io.BytesIO()
        Image.new("L", (20, 20), 100 + int(index)).save(buffer, "PNG")
        return buffer.getvalue()


def hostile(number):
    return HOSTILE_TEXTS[number % len(HOSTILE_TEXTS)]


@pytest.fixture
def hostile_predictions():
    rng, num_classes = np.random.default_rng(1), len(HOSTILE_TEXTS)
    scores = rng.dirichlet(np.ones(num_classes), 4 * num_classes)
    table = pd.DataFrame(scores, columns=[f"score.{name}" for name in HOSTILE_TEXTS])
    label = np.tile(HOSTILE_TEXTS, 4)
    named = {"features": "image", "protocol": "linear_probe", "draw": np.repeat(["0", "1"], 2 * num_classes)}
    ids = {"image_id": [f"i{n}" for n in range(len(label))], "patient_id": [f"p{n // 2}" for n in range(len(label))]}
    table = table.assign(**named, **ids, label=label, predicted=np.roll(label, 1))
    return pd.concat([table.assign(method=method) for method in ("slimp", "random_init")], ignore_index=True)


@pytest.fixture
def importance():
    rows = [
        ["small", method, "metadata", text, "lesion", metric, 0.7, 0.1, 0.05, 0.15, 5, 20]
        for method in ("slimp", "metadata_linear")
        for text in HOSTILE_TEXTS
        for metric in ("balanced_accuracy", "macro_auroc")
    ]
    return pd.DataFrame(rows, columns=IMPORTANCE_COLUMNS)


@pytest.fixture
def phenotypes():
    """Patients with a trait of hostile values, and one of a hostile name."""
    num = 2 * len(HOSTILE_TEXTS)
    place = np.random.default_rng(0).normal(size=(2, num))
    table = pd.DataFrame({"patient_id": "p", "num_images": 3, "x": place[0], "y": place[1]})
    table["any_malignant"] = pd.array([True, False] * (num // 2), dtype="boolean")
    return table.assign(site=HOSTILE_TEXTS * 2, **{text: ["a", "b"] * (num // 2) for text in HOSTILE_TEXTS})


@pytest.fixture
def hostile_figures(drawn, hostile_predictions, row_counts, importance, phenotypes):
    num, malignant_K = len(HOSTILE_TEXTS), np.arange(len(HOSTILE_TEXTS)) % 2 == 0
    rows = pd.DataFrame({"image_id": [f"i{n}" for n in range(4 * num)]})
    task = Task(
        rows.assign(split="train", fold=0),
        np.tile(np.arange(num), 4),
        HOSTILE_TEXTS,
        malignant_K,
        np.ones(len(rows), dtype=bool),
    )
    embeddings = {"slimp.fold_0.image": np.random.default_rng(0).normal(size=(4 * num, 5))}
    return drawn | {
        "roc": roc_figure(hostile_predictions, HOSTILE_TEXTS, malignant_K, SETTINGS),
        "precision_recall": precision_recall_figure(hostile_predictions, HOSTILE_TEXTS, malignant_K, SETTINGS),
        "importance": importance_figure(importance),
        "phenotype_map": phenotype_figure(phenotypes, [40, 60]),
        "confusion": confusion_figure(hostile_predictions, HOSTILE_TEXTS),
        "reliability": reliability_figure(hostile_predictions, HOSTILE_TEXTS, SETTINGS),
        "embedding_map": embedding_map(task, embeddings, 0),
        "row_counts": row_counts_figure(row_counts),
    }


@pytest.fixture
def hostile_measured(measured):
    truth = [[text, "slimp", "R2", 0.4, 0.3, 0.5, 0.0, 30] for text in HOSTILE_TEXTS]
    read = [[text, "lesion", number % 2 == 0, text] for number, text in enumerate(HOSTILE_TEXTS)]
    missing = [[text, "lesion", 0.3, 0.1, 0.4, 0.7, 0.65, 0.8, 40, 20, True] for text in HOSTILE_TEXTS]
    groups = [
        [hostile(number // 3), text, "slimp", "image", "macro_auroc", 0.6, 0.5, 0.7, 20, 40, False]
        for number, text in enumerate(HOSTILE_TEXTS)
    ]
    return dataclasses.replace(
        measured,
        known_truth=pd.DataFrame(truth, columns=TRUTH_COLUMNS),
        fields_read=pd.DataFrame(read, columns=FIELDS_READ_COLUMNS),
        missingness=pd.DataFrame(missing, columns=MISSINGNESS_COLUMNS),
        subgroups=pd.DataFrame(groups, columns=SUBGROUP_COLUMNS),
    )


def _hostile_roles(roles):
    counts = {text: number for number, text in enumerate(HOSTILE_TEXTS)}
    texts = dict.fromkeys(("cohort", "title", "licence", "source", "fingerprint"), " ".join(HOSTILE_TEXTS))
    manifest = texts | {"diagnoses": counts, "quarantine_reasons": counts, "files_unused": {"suffix": 1}}
    conflicts = pd.DataFrame({"patient_id": "p", "field": HOSTILE_TEXTS})
    differing = {"conflicts": conflicts, "lesion_conflicts": conflicts.assign(lesion_id="l")}
    return [dataclasses.replace(role, manifest=role.manifest | manifest, **differing) for role in roles]


@pytest.fixture
def hostile_explained(importance):
    pairs = (("fused", "image"), ("fused, shuffled", "image"), ("fused", "fused, shuffled"))
    controls = [
        ["small", "slimp", "image+lesion", *pair, "balanced_accuracy", 0.1, 0.05, 0.15, 5, 20] for pair in pairs
    ]
    reading = [["small", "slimp", text, "lesion", READ, "macro_auroc", 0.7, 0.6, 0.8, 20] for text in HOSTILE_TEXTS]
    leaks = [[text, 20, number, text] for number, text in enumerate(HOSTILE_TEXTS)]
    saliency = [["slimp", text, text, text, 0.7, 0.9, 0.6] for text in HOSTILE_TEXTS]
    return Explained(
        importance,
        pd.DataFrame(controls, columns=CONTROL_COLUMNS),
        pd.DataFrame(reading, columns=READING_COLUMNS),
        pd.DataFrame(leaks, columns=LEAK_COLUMNS),
        pd.DataFrame(saliency, columns=SALIENCY_COLUMNS),
    )


@pytest.fixture
def hostile_pictures(gallery):
    """As the pictures' own modules draw them, with hostile labels and ids."""
    one = gallery[0][0]
    drawn = [one | {"label": text, "image_id": text} for text in HOSTILE_TEXTS]
    lesions = [picture | {"distance": "0.50", "stands_out": True} for picture in drawn]
    patients = [
        {"name": text, "num_lesions": 3, "num_pictures": 12, "num_standing_out": 1, "pictures": lesions}
        for text in HOSTILE_TEXTS
    ]
    record = {"record": [{"field": text, "value": text} for text in HOSTILE_TEXTS], "num_unknown": 2}
    record |= {"is_own": True, "is_query": True}
    found = {"method": HOSTILE_TEXTS[0], "rank": 2, "num_keys": 9}
    pairs = [found | {"direction": text, "query": {"picture": drawn[0]}, "results": [record]} for text in HOSTILE_TEXTS]
    told = {"probability": "0.70", "correlation": "0.60"}
    maps = [
        told | {"sources": [one["src"]] * 3, "label": text, "predicted": text, "image_id": text}
        for text in HOSTILE_TEXTS
    ]
    return Pictures([[picture] * 5 for picture in drawn], patients, pairs, maps)


@pytest.fixture
def report_page(
    roles, history, hostile_measured, hostile_explained, hostile_figures, hostile_pictures, splits, row_counts, lineage
):
    training = pd.concat([splits.assign(partition=name) for name in ("fold_0", "fold_1")])
    noted = lineage | {"device": HOSTILE_TEXTS[0], "git_commit": HOSTILE_TEXTS[1], "packages": {"x": HOSTILE_TEXTS[2]}}
    reasons = [["target", "", "quarantine", text, 60, 57] for text in HOSTILE_TEXTS]
    table = pd.DataFrame(reasons, columns=["role", "partition", "step", "reason", "num_in", "num_out"])
    counts = pd.concat([row_counts, table.assign(cohort=HOSTILE_TEXTS[0], num_set_aside=3)])[ROW_COUNT_COLUMNS]
    return render_page(
        _hostile_roles(roles), Trained(training, history, noted),
        dataclasses.replace(hostile_measured, row_counts=counts), hostile_explained, hostile_figures, hostile_pictures,
        confidence=0.95, max_page_mb=10,
    )  # fmt: skip


@pytest.fixture
def comparison_page(compared):
    values, pairs = compared({text: 0.3 + 0.02 * number for number, text in enumerate(HOSTILE_TEXTS)})
    truths = [[text, "R2", 0.0, text, 2, 0.7, 0.6, 0.8] for text in HOSTILE_TEXTS]
    truths = pd.DataFrame(truths, columns=TRUTH_COMPARISON_COLUMNS)
    readings = [[text, text, READ, "macro_auroc", text, 2, 0.7, 0.6, 0.8] for text in HOSTILE_TEXTS]
    readings = pd.DataFrame(readings, columns=READING_COMPARISON_COLUMNS)
    return render_comparison(" ".join(HOSTILE_TEXTS), values, pairs, truths, readings, 0.95)


@pytest.fixture
def extrapolation_page():
    num = len(HOSTILE_TEXTS)
    rows = pd.DataFrame({"image_id": [f"i{n}" for n in range(num)], "patient_id": "p", "store_index": range(num)})
    rows = rows.assign(diagnosis=HOSTILE_TEXTS, site=HOSTILE_TEXTS)
    cases = pd.DataFrame({"image_id": rows["image_id"], "nearest_image_id": "i0", "similarity": 0.9, "fields": "site"})
    cases = cases.assign(case=["best", "worst"] * (num // 2), site=HOSTILE_TEXTS)
    pictures = picture_cases(cases, rows, rows, Store(), Store())
    quality = [
        [text, "categorical", coverage, "accuracy", 0.9, 0.8, 1.0, 0.5, 0.51, 50, 20, True]
        for text in HOSTILE_TEXTS
        for coverage in (0.5, 1.0)
    ]
    place = ["small", "slimp", "image", "linear_probe", "all", "all", "balanced_accuracy"]
    return render_extrapolation(
        " ".join(HOSTILE_TEXTS), " ".join(HOSTILE_TEXTS), rows, 0.95, pictures,
        borrowed=pd.DataFrame({"partition": "all", "similarity": [0.9, 0.8, 0.95]}),
        quality=pd.DataFrame(quality, columns=QUALITY_COLUMNS),
        other_fields=pd.DataFrame({"field": HOSTILE_TEXTS, "reason": HOSTILE_TEXTS}),
        cases=cases,
        results=pd.DataFrame([[*place, 0.6, 0.5, 0.7, 3, 1]], columns=RESULT_COLUMNS),
        worth=pd.DataFrame(
            [["small", "borrowed", "images alone", "balanced_accuracy", 0.05, -0.01, 0.09]], columns=WORTH_COLUMNS
        ),
    )  # fmt: skip


@pytest.fixture
def suspects_page():
    num = len(HOSTILE_TEXTS)
    lesions = pd.DataFrame({"image_id": HOSTILE_TEXTS, "diagnosis": HOSTILE_TEXTS, "store_index": range(num)})
    rows = [
        {"kind": kind, "rank": number + 1, "image_id": text, "other_image_id": hostile(number + 1), "why": text}
        for kind in ("near_duplicate", "blurred", "wrong_label")
        for number, text in enumerate(HOSTILE_TEXTS)
    ]
    suspects = pd.DataFrame(rows).assign(
        score=1.0, hash_distance_bits=pd.NA, embedding_distance=np.nan, relation=HOSTILE_TEXTS[0]
    )
    manifest = {"title": " ".join(HOSTILE_TEXTS), "cohort": HOSTILE_TEXTS[1]}
    return render_suspects(manifest, lesions, Store(), suspects[SUSPECT_COLUMNS], HOSTILE_TEXTS[0], 10)


@pytest.fixture
def interactive_page(hostile_figures):
    return render_figures(hostile_figures)


@pytest.fixture(params=list(NUM_FIGURES))
def hostile_page(request):
    """Name and text of each page in turn."""
    return request.param, request.getfixturevalue(f"{request.param}_page")
