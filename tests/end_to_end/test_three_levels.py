"""A cohort with fields of pictures, lesions and patients, several pictures a lesion, through the command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from slimp_pipeline.models.pretrained import load

COHORT = {
    "name": "pictures",
    "title": "Two or three pictures of a lesion",
    "licence": "internal",
    "source": "made here",
    "open_licence": True,
    "folder": "pictures",
    "tables": [{"file": "pictures.csv"}],
    "images": {"sources": ["photos"]},
    "image_id": "photo",
    "lesion_id": ["patient", "lesion"],
    "patient_id": ["patient"],
    "label": {"column": "diagnosis", "malignant": ["melanoma"]},
    "fields": {
        "modality": {"kind": "categorical", "level": "image", "column": "modality", "weight": 2},
        "hair": {"kind": "numeric", "level": "image", "column": "hair"},
        "site": {"kind": "categorical", "level": "lesion", "column": "site", "categories": ["arm", "back", "leg"]},
        "diameter_mm": {"kind": "numeric", "level": "lesion", "column": "diameter"},
        "age_years": {"kind": "numeric", "level": "patient", "column": "age"},
        "sex": {"kind": "categorical", "level": "patient", "column": "sex", "categories": ["f", "m"]},
    },
}
NUM_PATIENTS = 30


def write_files(folder: Path) -> pd.DataFrame:
    """One to three lesions of a patient, two or three pictures of a lesion; two pictures of one differ in its site."""
    rng, rows = np.random.default_rng(0), []
    for patient in range(NUM_PATIENTS):
        for lesion in range(1 + patient % 3):
            melanoma, site = rng.random() < 0.4, str(rng.choice(["arm", "back", "leg"]))
            for picture in range(2 + (patient + lesion) % 2):
                rows.append(
                    {
                        "photo": f"p{patient}_{lesion}_{picture}",
                        "patient": f"P{patient}",
                        "lesion": lesion,
                        "diagnosis": "melanoma" if melanoma else "nevus",
                        "modality": ["clinical", "dermoscopic"][picture % 2],
                        "hair": round(float(rng.random()), 2),
                        "site": site,
                        "diameter": int(rng.integers(2, 6)) + 6 * melanoma,
                        "age": 30 + patient,
                        "sex": "fm"[patient % 2],
                    }
                )
    table = pd.DataFrame(rows)
    table["diameter"] = table.groupby(["patient", "lesion"])["diameter"].transform("first")
    table.loc[0, "site"] = {"arm": "back"}.get(table.loc[0, "site"], "arm")
    (folder / "photos").mkdir(parents=True)
    table.to_csv(folder / "pictures.csv", index=False)
    for row in table.itertuples():
        colour = np.array([190 * (row.diagnosis == "nevus"), 10 * row.diameter, 60])
        pixels = colour + rng.integers(0, 60, (20, 20, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"photos/{row.photo}.png")
    return table


@pytest.fixture
def project(fresh, tmp_path, monkeypatch):
    (fresh.folder / "conf/base/parameters/cohorts/pictures.yml").write_text(yaml.safe_dump({"pictures": COHORT}))
    path = fresh.folder / "conf/test/parameters.yml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    del settings["source"], settings["target"]  # sizes of fabricated cohorts
    settings["features"] = {"num_folds": 2}
    settings["training"]["sampler"] |= {"images_per_lesion": 2}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    monkeypatch.setenv("SLIMP_RAW", str(tmp_path / "raw"))
    return fresh


def test_pictures_lesions_and_patients_are_contrasted_and_evaluated(project, tmp_path):
    table = write_files(tmp_path / "raw/pictures")
    project.run(source_cohort="pictures", target_cohort="pictures")
    history = pd.read_parquet(project.latest("06_models/pictures/history.parquet"))
    measured = set(history["name"])
    assert {f"loss_{level}" for level in ("image", "lesion", "patient")} <= measured
    assert np.isfinite(history["value"]).all()
    conflicts = pd.read_csv(project.latest("04_feature/pictures/lesion_conflicts.csv"))
    assert conflicts[["lesion_id", "patient_id", "field"]].to_numpy().tolist() == [["P0_0", "P0", "site"]]
    encoders = project.latest("06_models/pictures/encoders")
    encoder = load(encoders / "fold_0")
    assert encoder.checkpoint.encoding.image.fields["modality"].weight == 2
    width = encoder.checkpoint.model.metadata_encoder.dim
    assert encoder.encode_metadata(table.rename(columns={"diameter": "diameter_mm"})).shape == (len(table), 2 * width)
    rows = pd.read_parquet(project.latest("07_model_output/pictures/evaluation_rows.parquet"))
    assert len(rows) == len(table) and len(rows[["lesion_id", "site"]].drop_duplicates()) == rows["lesion_id"].nunique()
    results = pd.read_csv(project.latest("08_reporting/pictures/results.csv"))
    assert {"image", "image+lesion+patient", "image to picture", "pictures to lesion", "phenotype to patient"} <= set(
        results["features"]
    )
    robustness = pd.read_csv(project.latest("08_reporting/pictures/robustness.csv"))
    assert {"no image level", "no lesion level", "no patient level"} <= set(robustness["kind"])
    page = project.latest("08_reporting/pictures/report.html").read_text(encoding="utf-8")
    assert "Lesions whose rows differ: site (1)" in page
