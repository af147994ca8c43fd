"""The README's own cohort, with everything that can be wrong in a hospital's files, through the command line."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

README = Path(__file__).parents[2] / "README.md"
HEADER = "photo;patient;lesion;diagnosis;age;sex;size_cm;biopsy_result"
GOOD = [
    f"good_{n};P{n % 40};L{n};{('nevus', 'melanoma', 'BCC')[n % 3]};{30 + n % 50};{'fm'[n % 2]};0,{n % 9 + 1};x"
    for n in range(120)
]
BROKEN = {
    "impossible_age;Q1;L;nevus;430;f;0,5;x": ("age", "430", "impossible: outside 0 to 120"),
    "no_number;Q2;L;nevus;forty;f;0,5;x": ("age", "forty", "not a number"),
    "unknown_sex;Q3;L;nevus;40;x;0,5;x": ("sex", "x", "unknown category: known are f, m"),
    "../escape;Q4;L;nevus;40;f;0,5;x": ("photo", "../escape", "an image id may not contain a path separator"),
    "twice;Q5;L;nevus;40;f;0,5;x\ntwice;Q6;L;nevus;41;f;0,5;x": (
        "image_id", "twice", "several rows with different values have this image id",
    ),
}  # fmt: skip
REFUSED = {
    "truncated": "damaged: ",
    "empty": "the file is empty",
    "text": "not a picture in a format that is read",
    "animated": "several frames",
    "sixteen_bit": "16-bit",
}
ODD_BUT_GOOD = ("cmyk", "palette", "turned")


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 20, 3), dtype=np.uint8)).convert(mode)


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def write_hospital_files(folder: Path) -> None:
    photos = folder / "photos"
    photos.mkdir(parents=True)
    names = [*REFUSED, *ODD_BUT_GOOD, "no_label"]
    rows = [
        *GOOD,
        *BROKEN,
        *(f"{name};R{n};L;nevus;40;f;0,5;x" for n, name in enumerate(names)),
        "no_photo;S1;L;nevus;;;;",
    ]
    text = "\n".join([HEADER, *rows]).replace("no_label;R8;L;nevus", "no_label;R8;L;")
    (folder / "lesions.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    for row in (*GOOD, "no_label", "not_listed"):
        (photos / f"{row.split(';')[0]}.jpg").write_bytes(encoded(picture(), "JPEG"))
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.new("RGB", (20, 24), colour) for colour in ("red", "blue")]
    deep = Image.fromarray(np.zeros((20, 20), dtype=np.uint16))
    for name, content in {
        "truncated.jpg": encoded(picture(), "JPEG")[:300],
        "empty.jpg": b"",
        "text.jpg": b"no picture at all",
        "animated.png": encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "sixteen_bit.png": encoded(deep, "PNG"),
        "cmyk.jpg": encoded(picture("CMYK"), "JPEG"),
        "palette.png": encoded(picture("P"), "PNG"),
        "turned.jpg": encoded(picture(), "JPEG", exif=exif),
    }.items():
        (photos / name).write_bytes(content)


@pytest.fixture
def project(fresh, tmp_path, monkeypatch):
    """A project with the README's YAML, beside the files it describes."""
    text = re.search(r"```yaml\n(my_clinic:.*?)```", README.read_text(), re.DOTALL)[1]
    (fresh.folder / "conf/base/parameters/cohorts/my_clinic.yml").write_text(text)
    shutil.rmtree(fresh.folder / "conf/test")  # a new user has no such environment
    (fresh.folder / "conf/base/mlflow.yml").write_text(
        f"server: {{mlflow_tracking_uri: 'sqlite:///{fresh.folder}/mlflow.db'}}"
    )
    write_hospital_files(tmp_path / "raw/my_clinic")
    monkeypatch.setenv("SLIMP_RAW", str(tmp_path / "raw"))
    return fresh


def test_an_own_cohort_is_read_and_what_is_broken_stands_in_the_quarantine_with_its_reason(project, tmp_path):
    with pytest.raises(Exception, match=r"rows are broken, more than the share 0\.05"):
        project.run("ingest", env=None, target_cohort="my_clinic", source_cohort="my_clinic")
    project.run(
        "features",
        env=None,
        target_cohort="my_clinic",
        source_cohort="my_clinic",
        ingest={"max_quarantined_share": 0.2},
    )
    quarantine = pd.read_csv(project.latest("03_primary/my_clinic/quarantine.csv"), dtype=str)
    found = quarantine.groupby("image_id")[["column", "value", "reason"]].first()
    for row, (column, value, reason) in BROKEN.items():
        assert found.loc[row.split(";")[0]].tolist() == [column, value, reason]
    for name, reason in REFUSED.items():
        assert found.loc[name, "column"] == "(image)" and reason in found.loc[name, "reason"], name
    assert len(found) == len(BROKEN) + len(REFUSED)
    manifest = json.loads(project.latest("03_primary/my_clinic/manifest.json").read_text())
    assert manifest["num_rows_with_image"] == len(GOOD) + len(ODD_BUT_GOOD) + 1
    assert (manifest["num_rows_without_image"], manifest["num_images_without_row"]) == (1, 1)
    lesions = pd.read_parquet(project.latest("03_primary/my_clinic/lesions.parquet")).set_index("image_id")
    assert lesions.loc["good_3", "diameter_mm"] == pytest.approx(4.0)  # 0,4 cm
    assert pd.isna(lesions.loc["no_label", "diagnosis"]) and pd.isna(lesions.loc["no_photo", "age_years"])
    splits = pd.read_csv(project.latest("05_model_input/my_clinic/splits.csv"))
    assert splits.groupby("patient_id")["fold"].nunique().max() == 1


def test_ids_that_bear_their_files_suffix_are_matched_and_every_file_is_accounted_for(project, tmp_path, caplog):
    table = tmp_path / "raw/my_clinic/lesions.csv"
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    named = [line.replace(";", ".jpg;", 1) for line in lines[1:] if line.startswith("good_")]
    table.write_text("\n".join([lines[0], *named]))
    with caplog.at_level("INFO"):
        project.run("ingest", env=None, target_cohort="my_clinic", source_cohort="my_clinic")
    assert "120 images matched though their ids differ by suffix (a row's of the form 'aaaa_0.aaa', its" in caplog.text
    manifest = json.loads(project.latest("03_primary/my_clinic/manifest.json").read_text())
    unused = pd.read_csv(project.latest("03_primary/my_clinic/unused_files.csv"))
    assert (manifest["num_rows_with_image"], manifest["num_files"], len(unused)) == (120, 130, 10)
    assert set(unused["unused"]) == {"no_row"}


def test_a_missing_column_is_named_with_its_file(project, tmp_path):
    table = tmp_path / "raw/my_clinic/lesions.csv"
    table.write_text(table.read_text(encoding="utf-8-sig").replace("size_cm", "size"))
    with pytest.raises(Exception, match=r"lesions\.csv: column size_cm not found"):
        project.run("ingest", env=None, target_cohort="my_clinic", source_cohort="my_clinic")


def test_a_cohorts_official_split_is_its_own_and_leaves_the_other_role_alone(project, tmp_path):
    split = pd.DataFrame({"image_id": [row.split(";")[0] for row in GOOD]})
    split["split"] = ["test" if n % 40 < 10 else "train" for n in range(len(GOOD))]
    split.to_csv(tmp_path / "official.csv", index=False)
    table = tmp_path / "raw/my_clinic/lesions.csv"
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    table.write_text("\n".join([lines[0], *GOOD]))
    roles = {"target_cohort": "my_clinic", "source": {"cohort": {"fabricated": {"num_patients": 8}}}}
    project.run("features", env=None, **roles, target={"cohort": {"split_file": str(tmp_path / "official.csv")}})
    splits = pd.read_csv(project.latest("05_model_input/my_clinic/splits.csv"))
    assert splits.set_index("image_id")["split"].to_dict() == split.set_index("image_id")["split"].to_dict()
    source = pd.read_csv(project.latest("05_model_input/demo_tbp/as_source/splits.csv"))
    assert source["split"].eq("train").all()
