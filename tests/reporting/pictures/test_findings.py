"""Patients lesion by lesion, pairs and saliency, as pictures; by the node that shows them."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from slimp_pipeline.evaluation.audits.saliency import SALIENCY_COLUMNS
from slimp_pipeline.evaluation.features.ugly_ducklings import DUCKLING_COLUMNS
from slimp_pipeline.evaluation.protocols.pairs import FOUND_COLUMNS, TO_IMAGE, TO_METADATA
from slimp_pipeline.parameters import ReportParams
from slimp_pipeline.pipelines.report.nodes import picture_findings


class Store:
    def encoded(self, index):
        buffer = io.BytesIO()
        Image.new("RGB", (60, 40), (index, 0, 0)).save(buffer, "PNG")
        return buffer.getvalue()


@pytest.fixture
def rows():
    patient = ["secret-p"] * 6 + ["secret-q"] * 4 + ["secret-r"] * 2
    table = {"image_id": [f"secret-{n}" for n in range(12)], "patient_id": patient, "store_index": range(12)}
    table |= {"diagnosis": ["NEV", "MEL", None] * 4, "site": ["arm"] * 11 + [None], "diameter_mm": [4.5] * 12}
    return pd.DataFrame(table | {"signs.itch": [True] * 12, "signs.grew": [False] * 12})


@pytest.fixture
def ducklings(rows):
    table = rows[["image_id", "patient_id"]].assign(lesion_id=[f"l{n}" for n in range(12)])
    return table.assign(distance=np.arange(12) / 10, stands_out=[n == 5 for n in range(12)])[DUCKLING_COLUMNS]


@pytest.fixture
def found():
    rows = []
    for direction in (TO_METADATA, TO_IMAGE):
        for number in range(6):
            for place in (1, 2):
                own = number == 0 and place == 2
                line = ["slimp", "lesion", "site, diameter_mm, signs", direction, f"secret-{number}", place]
                rows.append([*line, f"secret-{number + place if not own else 0}", own, 2 if number == 0 else 5, 12])
    return pd.DataFrame(rows, columns=FOUND_COLUMNS)


@pytest.fixture
def named_and_drawn(rows, ducklings, found, tmp_path):
    saliency = pd.DataFrame([["slimp", "secret-1", "MEL", "NEV", 0.71, 1.0, np.nan]], columns=SALIENCY_COLUMNS)
    cells = np.zeros((4, 4), dtype=np.float32)
    cells[0, 0], cells[3, 3] = 1, -1
    maps = {"view.0": np.full((16, 16, 3), 120, dtype=np.uint8), "trained.0": cells, "random.0": -cells}

    def run(*, open_licence=True, **settings):
        manifest = {"open_licence": open_licence}
        chosen = ReportParams(salt=tmp_path / "salt", **settings)
        return picture_findings(manifest, rows, Store(), ducklings, found, saliency, maps, chosen)

    return run


@pytest.fixture
def drawn(named_and_drawn):
    return lambda **settings: named_and_drawn(**settings)[1:]


def pixels(source):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))), dtype=int)


def test_nothing_is_drawn_unless_the_licence_is_open(drawn):
    assert drawn(open_licence=False) == ([], [], [])


def test_no_id_is_shown_unless_asked_for(drawn):
    assert "secret-" not in str(drawn())
    patients, pairs, saliency = drawn(show_ids=True)
    assert patients[0]["name"] == "secret-p" and saliency[0]["image_id"] == "secret-1"
    assert pairs[0]["query"]["picture"]["image_id"].startswith("secret-")


@pytest.mark.parametrize("open_licence", [True, False])
def test_every_patients_pseudonym_can_be_looked_up_and_is_the_same_in_the_next_report(named_and_drawn, open_licence):
    names = named_and_drawn(open_licence=open_licence)[0]
    assert sorted(names["patient_id"]) == ["secret-p", "secret-q", "secret-r"]
    pd.testing.assert_frame_equal(named_and_drawn()[0], names)


def test_patients_with_the_most_lesions_come_first_and_their_most_unlike_lesion(named_and_drawn):
    names, patients, _, _ = named_and_drawn(num_patients=2)
    of = names.set_index("patient_id")["pseudonym"]
    expected = [(f"Patient {of['secret-p']}", 6), (f"Patient {of['secret-q']}", 4)]
    assert [(one["name"], one["num_lesions"]) for one in patients] == expected
    first = patients[0]["pictures"][0]
    assert first["stands_out"] and first["distance"] == "0.50" and patients[0]["num_standing_out"] == 1
    assert not any(picture["stands_out"] for picture in patients[0]["pictures"][1:])


def test_a_patient_with_two_lesions_is_not_shown_and_of_many_lesions_so_many_are(drawn):
    patients, _, _ = drawn(num_patients=9, max_lesions=3)
    assert len(patients) == 2 and [len(one["pictures"]) for one in patients] == [3, 3]
    assert patients[0]["num_pictures"] == 6
    assert drawn(num_patients=0)[0] == []


def test_each_way_shows_half_of_the_queries_one_diagnosis_after_the_other(drawn):
    _, pairs, _ = drawn(gallery_size=4)
    assert [one["direction"] for one in pairs] == [TO_METADATA] * 2 + [TO_IMAGE] * 2
    assert [one["query"]["picture"]["label"] for one in pairs[:2]] == ["MEL", "NEV"]
    assert drawn(gallery_size=0)[1] == []


def test_the_own_partner_is_always_among_what_is_shown(drawn):
    _, pairs, _ = drawn(gallery_size=6)
    for one in pairs:
        own = [result["is_own"] for result in one["results"]]
        assert own.count(True) == 1 and len(own) == (2 if one["rank"] == 2 else 3)
        assert own[-1] and one["num_keys"] == 12
        assert [result["is_query"] for result in one["results"]][-1]


def test_a_record_tells_what_is_known_and_how_much_is_not(drawn):
    _, pairs, _ = drawn(gallery_size=6)
    record = pairs[0]["results"][0]
    values = {line["field"]: line["value"] for line in record["record"]}
    assert values == {"site": "arm", "diameter_mm": "4.5", "signs": "itch"} and record["num_unknown"] == 0


def test_a_field_that_is_not_known_is_counted(drawn, rows):
    rows.loc[rows["image_id"] != "secret-0", "site"] = None
    _, pairs, _ = drawn(gallery_size=6)
    record = pairs[0]["results"][0]
    assert [line["field"] for line in record["record"]] == ["diameter_mm", "signs"] and record["num_unknown"] == 1


def test_what_speaks_for_a_class_is_orange_and_what_speaks_against_it_blue(drawn):
    _, _, (one,) = drawn()
    seen, trained, random = map(pixels, one["sources"])
    assert np.ptp(seen) < 12  # plain grey
    red, _, blue = trained[2, 2]
    assert red > blue + 80
    red, _, blue = trained[-3, -3]
    assert blue > red + 80
    assert random[2, 2, 2] > random[2, 2, 0] + 80
    assert one["correlation"] == "not measurable" and one["probability"] == "0.71"
