"""Small inputs of a report: two classes, one of them with a hostile name."""

import json
import shutil
import time

import numpy as np
import pandas as pd
import pytest

from slimp_pipeline.evaluation.audits.controls import CONTROL_COLUMNS, PAIRS
from slimp_pipeline.evaluation.audits.field_reading import ADDS, READ, READING_COLUMNS
from slimp_pipeline.evaluation.audits.importance import IMPORTANCE_COLUMNS
from slimp_pipeline.evaluation.audits.known_truth import TRUTH_COLUMNS
from slimp_pipeline.evaluation.audits.leak_table import LEAK_COLUMNS
from slimp_pipeline.evaluation.audits.missingness import MISSINGNESS_COLUMNS
from slimp_pipeline.evaluation.audits.row_counts import ROW_COUNT_COLUMNS
from slimp_pipeline.evaluation.audits.saliency import SALIENCY_COLUMNS
from slimp_pipeline.evaluation.audits.subgroups import SUBGROUP_COLUMNS
from slimp_pipeline.evaluation.features.transfer import FIELDS_READ_COLUMNS
from slimp_pipeline.evaluation.measures.compare import COMPARISON_COLUMNS, PAIR_COLUMNS
from slimp_pipeline.evaluation.measures.records import DIFFERENCE_COLUMNS, RESULT_COLUMNS
from slimp_pipeline.evaluation.task import Task
from slimp_pipeline.parameters import EvaluationParams
from slimp_pipeline.reporting.figures.curves import precision_recall_figure, roc_figure
from slimp_pipeline.reporting.figures.embedding_map import embedding_map
from slimp_pipeline.reporting.figures.importance import importance_figure
from slimp_pipeline.reporting.figures.results import results_figure
from slimp_pipeline.reporting.figures.rows import row_counts_figure
from slimp_pipeline.reporting.figures.scores import confusion_figure
from slimp_pipeline.reporting.figures.training import health_figure, history_figure
from slimp_pipeline.reporting.figures.traits import phenotype_figure
from slimp_pipeline.reporting.pages.explained import Explained
from slimp_pipeline.reporting.pages.report import Measured, Pictures, Role
from slimp_pipeline.tables.duplicates import SEEN_COLUMNS

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
CLASSES = [HOSTILE, "NEV"]
METRICS = ("balanced_accuracy", "macro_f1", "macro_auroc", "malignant_auroc", "pauc_above_80_tpr", "ece")
SETTINGS = EvaluationParams(num_resamples=20)
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
        table["image_id"] = [f"secret-{n}" for n in range(40)]
        table["patient_id"] = [f"person-{n // 2}" for n in range(40)]
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
def row_counts():
    """A source that is read whole, and a target of which rows are set aside; one of the reasons is hostile."""
    rows = [
        ["source", "", "read", "", 50, 50], ["source", "", "image", "", 50, 50],
        ["source", "all", "pretrain", "", 50, 50],
        ["target", "", "read", "", 60, 60], ["target", "", "quarantine", f"age_years: {HOSTILE}", 60, 57],
        ["target", "", "image", "no image", 57, 45], ["target", "", "label", "no label", 45, 40],
        ["target", "fold_0", "train", "not of its training patients", 40, 24],
        ["target", "fold_0", "test", "not of its test patients", 40, 16],
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["role", "partition", "step", "reason", "num_in", "num_out"])
    return table.assign(cohort="small", num_set_aside=table["num_in"] - table["num_out"])[ROW_COUNT_COLUMNS]


@pytest.fixture
def lineage():
    return {
        "run": "2026-01-02T03.04.05.678Z", "pretrain": "2026-01-01T03.04.05.678Z", "adapt": "", "settings": "0a1b2c3d",
        "git_commit": "abcdef-modified", "device": "cpu", "seeds": {"splits": 1, "evaluation": 2},
        "packages": {"python": "3.11.7", "torch": "2.14.1"},
    }  # fmt: skip


@pytest.fixture
def roles(splits):
    counts = (
        "rows rows_quarantined rows_with_image rows_without_image images_without_row patients patients_with_image "
        "rows_without_patient_id lesions files"
    )
    manifest = {f"num_{name}": 1234 for name in counts.split(" ")} | {
        "cohort": "small",
        "title": "Small cohort & <b>more</b>",
        "licence": "CC BY 4.0",
        "fingerprint": "0123456789abcdef",
        "open_licence": True,
        "diagnoses": {HOSTILE: 20, "NEV": 18, "nan": 2},
        "quarantine_reasons": {"age_years: <impossible>": 3},
        "files_unused": {"suffix": 2, "no_row": 5},
    }
    duplicates = pd.DataFrame({"kind": ["near", "same bytes"], "across_folds": [True, False]})
    conflicts = pd.DataFrame({"patient_id": ["person-1"], "field": ["age_years"]})
    lesion_conflicts = pd.DataFrame({"lesion_id": ["l"], "patient_id": ["person-1"], "field": ["site"]})
    return [
        Role(name, manifest | {"cohort": f"small {name}"}, splits, duplicates, conflicts, lesion_conflicts)
        for name in ("source", "target")
    ]


@pytest.fixture
def drawn(results, predictions, history, splits, row_counts, field_importance, patient_phenotypes):
    task = Task(splits, np.tile([0, 1], 20), CLASSES, np.array([True, False]), np.ones(40, dtype=bool))
    embeddings = {"slimp.fold_0.image": np.random.default_rng(0).normal(size=(40, 5))}
    return {
        "history": history_figure(history),
        "health": health_figure(history),
        "results": results_figure(results),
        "roc": roc_figure(predictions, CLASSES, np.array([True, False]), SETTINGS),
        "precision_recall": precision_recall_figure(predictions, CLASSES, np.array([True, False]), SETTINGS),
        "importance": importance_figure(field_importance),
        "phenotype_map": phenotype_figure(patient_phenotypes, [40, 60]),
        "confusion": confusion_figure(predictions, CLASSES),
        "row_counts": row_counts_figure(row_counts),
        "embedding_map": embedding_map(task, embeddings, 0),
    }


@pytest.fixture
def gallery():
    return [[{"src": PIXEL, "label": HOSTILE, "image_id": ""}] * 5] * 3


@pytest.fixture
def field_importance():
    """Of two methods and three fields, one of which matters and one of which bears a hostile name."""
    rows = []
    for method, features in (("metadata_linear", "metadata"), ("slimp", "image+lesion+patient")):
        for field, level, drop in (
            ("age_years", "patient", 0.0),
            ("diameter_mm", "lesion", 0.2),
            (HOSTILE, "lesion", -0.01),
        ):
            for metric in ("balanced_accuracy", "macro_auroc"):
                ends = [drop, drop - 0.05, drop + 0.04]
                rows.append(["small", method, features, field, level, metric, 0.612, *ends, 3, 40])
    return pd.DataFrame(rows, columns=IMPORTANCE_COLUMNS)


@pytest.fixture
def controls():
    """A gain that is owed to the patients' own metadata."""
    intervals = ((0.2, 0.1, 0.3), (0.01, -0.04, 0.06), (0.19, 0.08, 0.3))
    rows = [
        ["small", "slimp", "image+lesion", *pair, metric, *interval, 2, 40]
        for pair, interval in zip(PAIRS, intervals, strict=True)
        for metric in ("balanced_accuracy", "macro_auroc")
    ]
    return pd.DataFrame(rows, columns=CONTROL_COLUMNS)


@pytest.fixture
def field_reading():
    """One field that images show, one that they don't."""
    rows = [
        ["region", "lesion", READ, "macro_auroc", 0.9, 0.85, 0.95],
        ["age_years", "patient", READ, "macro_auroc", 0.52, 0.4, 0.6],
        ["smoke.cigars", "patient", READ, "macro_auroc", 0.6, 0.5, 0.7],
        *[["region", "lesion", ADDS, metric, 0.01, -0.02, 0.04] for metric in ("balanced_accuracy", "macro_auroc")],
        *[["age_years", "patient", ADDS, metric, 0.1, 0.05, 0.15] for metric in ("balanced_accuracy", "macro_auroc")],
    ]
    return pd.DataFrame([["small", "slimp", *row, 40] for row in rows], columns=READING_COLUMNS)


@pytest.fixture
def patient_phenotypes():
    rng = np.random.default_rng(0)
    table = {
        "patient_id": [f"person-{n}" for n in range(20)],
        "num_images": 2,
        "x": rng.random(20),
        "y": rng.random(20),
    }
    malignant = pd.array([True, False, None, False] * 5, dtype="boolean")
    return pd.DataFrame(table).assign(
        any_malignant=malignant, missing_share=rng.random(20), age_years=rng.uniform(20, 80, 20),
        sex=["female", HOSTILE] * 10, smoke="False",
    )  # fmt: skip


@pytest.fixture
def explained(field_importance, controls, field_reading):
    lines = [
        ["patient on both sides of a split", 1234, 0, "patients"],
        ["test patient in adaptation", 40, 0, "patients"],
    ]
    one = ["slimp", "secret-1", "NEV", HOSTILE, 0.71, 0.99, 0.25]
    leaks, saliency = pd.DataFrame(lines, columns=LEAK_COLUMNS), pd.DataFrame([one], columns=SALIENCY_COLUMNS)
    return Explained(field_importance, controls, field_reading, leaks, saliency)


@pytest.fixture
def pictures(gallery):
    """Of each kind one group, but for the gallery."""
    picture = {"src": PIXEL, "label": HOSTILE, "image_id": ""}
    lesions = [picture | {"distance": f"0.{9 - n}", "stands_out": n == 0} for n in range(4)]
    patient = {"name": "Patient A", "num_lesions": 4, "num_pictures": 6, "num_standing_out": 1, "pictures": lesions}
    record = {"record": [{"field": "site", "value": HOSTILE}], "num_unknown": 2}
    pair = {
        "method": "SLIMP", "direction": "image to metadata", "rank": 3, "num_keys": 17, "query": {"picture": picture},
        "results": [record | {"is_own": own, "is_query": own} for own in (False, False, False, True)],
    }  # fmt: skip
    drawn = {
        "sources": [PIXEL] * 3, "label": "NEV", "predicted": HOSTILE, "probability": "0.71", "correlation": "0.25",
        "image_id": "",
    }  # fmt: skip
    return Pictures(gallery, [patient], [pair], [drawn])


@pytest.fixture
def retrieval():
    """Images find those of their diagnosis, and metadata; by three methods and by chance."""
    rows = []
    for number, method in enumerate(("chance", "random_init", "slimp")):  # not the order of the page
        for features, metrics in (
            ("image", ("precision_at_1", "precision_at_10", "mean_average_precision")),
            ("image to lesion", ("recall_at_5",)),
        ):
            if features == "image" or method != "random_init":
                for draw, more in (("0", 0.5), ("all", 0.0)):
                    for place, metric in enumerate(metrics):
                        value = 0.1 * (number + 1) + 0.01 * place + more
                        line = ["small", method, features, "retrieval", "all", draw, metric]
                        rows.append([*line, value, value - 0.05, value + 0.06, 30, 10])
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


@pytest.fixture
def missingness():
    """One field that is never missing, one whose gaps tell the label, and one whose gaps don't."""
    rows = [
        ["age_years", "patient", 0.0, 0.0, 0.0, 0.5, np.nan, np.nan, 40, 20, False],
        [f"quiet{HOSTILE}", "lesion", 0.125, 0.1, 0.15, 0.52, 0.41, 0.63, 40, 20, False],
        ["diameter_mm", "lesion", 0.3, 0.0, 0.45, 0.734, 0.656, 0.812, 40, 20, True],
    ]
    return pd.DataFrame(rows, columns=MISSINGNESS_COLUMNS)


@pytest.fixture
def read():
    """One field that is read, one of other units, and one that the target lacks."""
    rows = [
        ["age_years", "patient", True, ""],
        ["diameter_mm", "lesion", True, f"other units? {HOSTILE}"],
        ["tbp_lv_H", "lesion", False, ""],
    ]
    return pd.DataFrame(rows, columns=FIELDS_READ_COLUMNS)


@pytest.fixture
def subgroups():
    """Two methods on two sexes, one of them too few patients, and on age bands."""
    rows = []
    for field, groups in (("sex", (HOSTILE, "female", "not known")), ("age_years", ("under 40", "40 or older"))):
        for number, group in enumerate(groups):
            for method, add in (("random_init", 0.0), ("slimp", 0.1)):
                for features in ("image", "image+lesion+patient"):
                    place = [field, group, method, features]
                    if group == "female":
                        rows.append([*place, "", np.nan, np.nan, np.nan, 3, 7, True])
                        continue
                    more = add + (0.05 if features != "image" else 0.0)
                    for metric, start in (("macro_auroc", 0.6), ("balanced_accuracy", 0.4)):
                        if (group, metric) != ("not known", "macro_auroc"):  # a group of one class has no AUROC
                            value = start + 0.01 * number + more
                            rows.append([*place, metric, value, value - 0.1, value + 0.1, 20 + number, 40, False])
    return pd.DataFrame(rows, columns=SUBGROUP_COLUMNS)


@pytest.fixture
def measured(results, retrieval, differences, read, missingness, subgroups, row_counts):
    truth = pd.DataFrame(
        [
            ["patient's sun damage", method, "R2", value, value - 0.1, value + 0.1, 0.0, 30]
            for method, value in (("random_init", 0.123), ("slimp", 0.456))
        ],
        columns=TRUTH_COLUMNS,
    )
    seen = pd.DataFrame(columns=SEEN_COLUMNS)
    return Measured(pd.concat([results, retrieval]), differences, read, missingness, subgroups, truth, seen, row_counts)


def comparison(value_by_method, half_width=0.04, *, features="image", protocol="linear_probe", num_runs=3):
    """Values and pairs of methods in two metrics, of which the second turns the order round."""
    values, pairs = [], []
    sd = 0.0123 if num_runs > 1 else np.nan
    for metric, sign in (("balanced_accuracy", 1), ("macro_auroc", -1)):
        by_method = {method: 0.5 + sign * (value - 0.5) for method, value in value_by_method.items()}
        for method, value in by_method.items():
            line = ["small", features, protocol, metric, method, num_runs, value, value - 0.06, value + 0.05, sd]
            values.append(line)
        names = list(by_method)
        for place, one in enumerate(names):
            for other in names[place + 1 :]:
                difference = by_method[one] - by_method[other]
                low, high = difference - half_width, difference + half_width
                line = ["small", features, protocol, metric, one, other, difference, low, high, low <= 0 <= high, 0]
                pairs.append(line)
    return pd.DataFrame(values, columns=COMPARISON_COLUMNS), pd.DataFrame(pairs, columns=PAIR_COLUMNS)


@pytest.fixture
def compared():
    return comparison


OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium isn't installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("chromium and chromedriver aren't installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*OPTIONS.split(" "), f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    yield driver
    driver.quit()


@pytest.fixture
def show(browser, tmp_path):
    """Open a page at a width, wait for its figures, and check that it stands alone and nothing is cut off."""

    def show(text, width_px, num_figures):
        (tmp_path / "page.html").write_text(text)
        metrics = {"width": width_px, "height": 900, "deviceScaleFactor": 1, "mobile": width_px < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        for log in ("performance", "browser"):
            browser.get_log(log)  # of the page before
        browser.get((tmp_path / "page.html").as_uri())
        drawn = ".js-plotly-plot .cartesianlayer .subplot.xy"
        deadline = time.monotonic() + 20
        while len(browser.find_elements("css selector", drawn)) < num_figures and time.monotonic() < deadline:
            time.sleep(0.1)
        for selector in (drawn, ".plotly-graph-div"):
            assert len(browser.find_elements("css selector", selector)) == num_figures
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width_px
        browser.execute_script("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        parts = "h1, h2, h3, p, summary, nav, .brief, .card, .scroll, .figures > div, .gallery"
        beyond = f"return [...document.querySelectorAll('{parts}')].filter("
        beyond += "e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)"
        assert not browser.execute_script(beyond)
        assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
        messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert {url.split(":", 1)[0] for url in urls} <= {"file", "data"}
        return browser

    return show
