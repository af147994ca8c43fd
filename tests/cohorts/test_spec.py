"""Cohort specifications: the shipped ones load, and leaking columns are refused with the reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from slimp_pipeline.cohorts.spec import CohortSpec, FieldSpec, ImagesSpec, LabelSpec, TableSpec

SHIPPED = [
    *[
        "demo_clinic",
        "demo_tbp",
        "demo_tbp_unseen",
        "derm7pt",
        "ham10000",
        "hiba",
        "isic2019",
        "isic2020",
        "isic_archive",
        "milk10k",
    ],
    *["milk10k_test", "pad_ufes_20", "ph2", "slice3d", "slice3d_test"],
]
ISIC_COLUMNS = {"isic_id", "attribution", "copyright_license", "age_approx"}  # age_approx: age, rounded to 5 years


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_cohort_loads_under_its_own_name(shipped_spec: Callable[[str], CohortSpec], name: str) -> None:
    spec = shipped_spec(name)
    assert spec.name == name
    levels = {"lesion", "patient"} | ({"image"} if name.startswith("milk10k") else set())
    assert {field.level for field in spec.fields.values()} <= levels
    assert spec.tables[0].join_on is None
    assert all(table.join_on for table in spec.tables[1:])


def test_every_cohort_file_is_among_the_shipped() -> None:
    folder = Path(__file__).parents[2] / "conf/base/parameters/cohorts"
    named = {name for path in folder.glob("*.yml") for name in yaml.safe_load(path.read_text())}
    assert named == set(SHIPPED)


def test_a_demo_cohort_has_the_fields_of_the_cohort_whose_layout_it_takes(
    shipped_spec: Callable[[str], CohortSpec],
) -> None:
    assert shipped_spec("demo_tbp").fields == shipped_spec("slice3d").fields
    assert shipped_spec("demo_clinic").leaks == shipped_spec("pad_ufes_20").leaks


@pytest.mark.parametrize("name", SHIPPED)
def test_malignant_and_indeterminate_diagnoses_do_not_overlap_and_exist(
    shipped_spec: Callable[[str], CohortSpec], name: str
) -> None:
    label = shipped_spec(name).label
    if label is None:
        return
    assert not set(label.malignant) & set(label.indeterminate)
    known = set(label.classes.values()) or set(label.one_hot)
    assert not known or set(label.malignant) <= known


def test_an_optional_column_that_nothing_reads_is_refused(make_spec: Callable[..., CohortSpec]) -> None:
    assert make_spec(optional=["age", "patient"]).optional == ["age", "patient"]
    for name in ("agee", "image"):
        with pytest.raises(ValueError, match=f"`optional` names {name}"):
            make_spec(optional=[name])


@pytest.mark.parametrize("name", ["hiba", "isic_archive"])
def test_columns_of_isic_archive_cohorts_are_those_of_its_client(
    shipped_spec: Callable[[str], CohortSpec], name: str
) -> None:
    metadata = pytest.importorskip("isic_metadata.metadata").MetadataRow
    known = ISIC_COLUMNS | set(metadata.model_fields) | set(metadata.model_computed_fields)
    spec = shipped_spec(name)
    read = {column for field in spec.fields.values() for column in field.columns}
    assert read | {*spec.lesion_id, *spec.patient_id, spec.image_id, *spec.leaking_columns} <= known | {
        *["benign_malignant", "mel_class", "mel_type", "nevus_type"]  # of older downloads
    }


def test_hiba_groups_diagnoses_as_the_archive_does(shipped_spec: Callable[[str], CohortSpec]) -> None:
    diagnoses = pytest.importorskip("isic_metadata.diagnosis_hierarchical").DiagnosisEnum
    label = shipped_spec("hiba").label
    assert label is not None
    for group, names in (("Malignant", label.malignant), ("Indeterminate", label.indeterminate)):
        known = {parts[2] for d in diagnoses if len(parts := d.value.split(":")) > 2 and parts[0] == group}
        assert set(names) <= known


@pytest.mark.parametrize("cohort", ["hiba", "pad_ufes_20"])
def test_skin_types_are_named_as_in_the_archive(cohort: str, shipped_spec: Callable[[str], CohortSpec]) -> None:
    skin_types = pytest.importorskip("isic_metadata.fields").FitzpatrickSkinType
    assert shipped_spec(cohort).fields["fitzpatrick"].categories == [t.value for t in skin_types]


def test_a_field_that_reads_a_leaking_column_is_refused_with_the_reason(make_spec: Callable[..., CohortSpec]) -> None:
    leak = {"kind": "categorical", "level": "lesion", "column": "biopsied"}
    with pytest.raises(ValidationError, match=r"'taken' reads column 'biopsied'.*suspicious lesions are biopsied"):
        make_spec(fields={"taken": leak})


def test_a_field_of_pictures_needs_to_know_which_of_them_show_one_lesion(make_spec: Callable[..., CohortSpec]) -> None:
    hair = {"kind": "numeric", "level": "image", "column": "hair"}
    with pytest.raises(
        ValidationError, match=r"'hair' is of the level image, and nothing tells which pictures show one"
    ):
        make_spec(fields={"hair": hair}, lesion_id=[])
    assert make_spec(fields={"hair": hair}, lesion_id=["lesion"]).fields["hair"].level == "image"
    assert (
        make_spec(fields={"light": hair | {"nuisance": True}}, lesion_id=[]).nuisance["light"].level == "image"
    )  # is no feature


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_the_weight_of_a_field_is_above_0(make_spec: Callable[..., CohortSpec], weight: float) -> None:
    with pytest.raises(ValidationError, match="weight"):
        make_spec(fields={"hair": {"kind": "numeric", "level": "lesion", "column": "hair", "weight": weight}})


def test_an_option_of_a_checkbox_that_leaks_is_refused(make_spec: Callable[..., CohortSpec]) -> None:
    leak = {"kind": "checkbox", "level": "lesion", "options": {"a": "itches", "b": "biopsied"}}
    with pytest.raises(ValidationError, match=r"reads column 'biopsied'"):
        make_spec(fields={"done": leak})


@pytest.mark.parametrize("label", [{"column": "dx"}, {"one_hot": ["MEL", "dx"]}])
def test_a_field_that_reads_the_label_is_refused_though_the_leaks_do_not_list_it(
    make_spec: Callable[..., CohortSpec], label: dict[str, Any]
) -> None:
    leak = {"kind": "categorical", "level": "lesion", "column": "dx"}
    with pytest.raises(ValidationError, match=r"'dx', which leaks the label: it is the label"):
        make_spec(label=label, fields={"hint": leak}, leaks={})


def test_selecting_a_leaking_column_says_why_it_cannot_be_a_feature(make_spec: Callable[..., CohortSpec]) -> None:
    with pytest.raises(ValueError, match=r"'biopsied' can't be a feature.*suspicious lesions are biopsied"):
        make_spec().select_fields(["sex", "biopsied"])
    with pytest.raises(ValueError, match=r"'dx' can't be a feature, it leaks the label: it is the label"):
        make_spec().select_fields(["dx"])


def test_selecting_an_unknown_field_names_the_cohorts_fields(make_spec: Callable[..., CohortSpec]) -> None:
    with pytest.raises(ValueError, match=r"small has no field 'size'. Its fields: age_years, sex, symptom"):
        make_spec().select_fields(["size"])


def test_all_selects_every_field_and_a_list_keeps_its_order(make_spec: Callable[..., CohortSpec]) -> None:
    assert list(make_spec().select_fields("all")) == ["age_years", "sex", "symptom"]
    assert list(make_spec().select_fields(["symptom", "sex"])) == ["symptom", "sex"]


@pytest.mark.parametrize(
    "field",
    [
        {"kind": "checkbox", "level": "lesion"},
        {"kind": "checkbox", "level": "lesion", "column": "a", "options": {"b": "c"}},
        {"kind": "numeric", "level": "lesion"},
        {"kind": "categorical", "level": "lesion", "column": "a", "options": {"b": "c"}},
        {"kind": "categorical", "level": "lesion", "colum": "a"},
    ],
)
def test_a_field_whose_columns_do_not_fit_its_kind_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FieldSpec(**field)


@pytest.mark.parametrize("label", [{}, {"column": "a", "one_hot": ["b"]}])
def test_a_label_is_either_a_column_or_one_hot(label: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"either `column` or `one_hot`"):
        LabelSpec(**label)


def test_yaml_values_that_are_no_text_become_the_text_of_the_tables() -> None:
    field = FieldSpec(
        kind="categorical", level="lesion", column="a", categories=[0, True], rename={1: "True"}, missing=[9]
    )
    assert (field.categories, field.rename, field.missing) == (["0", "True"], {"1": "True"}, ["9"])
    assert LabelSpec(column="a", classes={0: "benign", True: "yes"}).classes == {"0": "benign", "True": "yes"}


def test_a_table_may_have_one_name_or_several() -> None:
    assert TableSpec(file="a.csv").file == ["a.csv"]
    assert TableSpec(file=["a.csv", "b.csv"]).file == ["a.csv", "b.csv"]


@pytest.mark.parametrize("name", ["diagnosis", "malignant", "patient_id", "fold", "missing_share"])
def test_a_field_may_not_take_the_name_of_a_column_of_the_tables(
    make_spec: Callable[..., CohortSpec], name: str
) -> None:
    with pytest.raises(ValueError, match=f"a field may not be called {name}"):
        make_spec(fields={name: {"kind": "categorical", "level": "lesion", "column": "referral"}})


def test_a_misspelt_malignant_diagnosis_is_refused() -> None:
    with pytest.raises(ValueError, match="names Melanoma; the diagnoses are melanoma, nevus"):
        LabelSpec(column="dx", classes={"nv": "nevus", "mel": "melanoma"}, malignant=["Melanoma"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": {"sources": ["photos"], "pattern": "*.jpg"}}, "is no regular expression"),
        ({"tables": [{"file": "t.csv", "separator": ", "}]}, "one character parts the cells"),
        (
            {"fields": {"a": {"kind": "numeric", "level": "lesion", "column": "a", "scale": 0}}},
            "makes all numbers alike",
        ),
        (
            {"fields": {"a": {"kind": "numeric", "level": "lesion", "column": "a", "minimum": 5, "maximum": 1}}},
            "no number is between",
        ),
        (
            {"fields": {"a": {"kind": "categorical", "level": "patient", "column": "patient"}}},
            "says who or which image",
        ),
        (
            {
                "fields": {
                    "s.itch": {"kind": "categorical", "level": "lesion", "column": "a"},
                    "s": {"kind": "checkbox", "level": "lesion", "options": {"itch": "b"}},
                }
            },
            r"two fields make the column s\.itch",
        ),
    ],
)
def test_what_can_mean_nothing_is_refused(make_spec, changes, message):
    with pytest.raises(ValueError, match=message):
        make_spec(**changes)


@pytest.mark.parametrize(("written", "read"), [("\\t", "\t"), ("tab", "\t"), (";", ";"), ("||", "||"), (None, None)])
def test_a_separator_is_written_as_people_do(make_spec, written, read):
    assert make_spec(tables=[{"file": "t.csv", "separator": written}]).tables[0].separator == read


@pytest.mark.parametrize("pattern", [["img"], {"a": 1}, 5, "a{99999999999999999999}", "("])
def test_a_pattern_of_images_that_is_none_is_refused_in_words(pattern):
    with pytest.raises(ValueError, match="is no regular expression"):
        ImagesSpec(sources=["photos"], pattern=pattern)


def test_no_suffixes_are_no_error_of_python():
    assert ImagesSpec(sources=["photos"], suffixes=None).suffixes == []
