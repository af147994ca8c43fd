"""Phenotypes coloured by one trait at a time."""

import pandas as pd

from slimp_pipeline.reporting.figures.traits import phenotype_figure


def shown(figure):
    return [trace.name for trace in figure.data if trace.visible is not False]


def test_a_menu_picks_the_trait_and_each_shows_every_patient_once(patient_phenotypes):
    figure = phenotype_figure(patient_phenotypes, [40, 60])
    buttons = figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == [
        "malignant lesion",
        "lesion fields missing, share",
        "age, years",
        "sex",
    ]
    assert shown(figure) == ["has a malignant lesion", "has none", "not known"]
    for button in buttons:
        visible = button.args[0]["visible"]
        assert sum(len(trace.x) for trace, seen in zip(figure.data, visible, strict=True) if seen) == 20


def test_a_trait_that_is_the_same_in_all_is_no_trait(patient_phenotypes):
    assert "smoke" not in [
        button.label for button in phenotype_figure(patient_phenotypes, [40]).layout.updatemenus[0].buttons
    ]


def test_ages_are_in_bands_and_other_numbers_shaded(patient_phenotypes):
    figure = phenotype_figure(patient_phenotypes, [40, 60])
    names = [trace.name for trace in figure.data]
    assert {"under 40", "40 to 59", "60 or older"} <= set(names)
    shaded = figure.data[names.index("lesion fields missing, share")]
    assert list(shaded.marker.color) == list(patient_phenotypes["missing_share"])


def test_rare_values_share_a_colour():
    sites = [f"place {n // 2}" for n in range(40)] + ["place 0"] * 10
    table = pd.DataFrame({"patient_id": range(50), "num_images": 1, "x": 0.0, "y": 0.0, "any_malignant": True})
    figure = phenotype_figure(table.assign(missing_share=0.0, site=sites), [40])
    assert len(figure.data) == 8 and figure.data[-1].name == "other" and figure.data[0].name == "place 0"


def test_it_holds_no_id_and_no_markup_and_nothing_without_patients(patient_phenotypes):
    text = phenotype_figure(patient_phenotypes, [40, 60]).to_json()
    assert "person-" not in text and "<img" not in text.replace("\\u003c", "<")
    assert not phenotype_figure(patient_phenotypes[:0], [40]).data
