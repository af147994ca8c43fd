"""Known lesions."""

import json

import numpy as np
import pytest

from slimp_pipeline.handover.known import KnownLesions

RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(40, 8)).astype(np.float32)
DIAGNOSES = [f"d{i}" for i in range(40)]
PATIENTS = [f"p{i // 4}" for i in range(40)]


def cosine_distance(left, right):
    return 1 - left @ right / np.linalg.norm(left) / np.linalg.norm(right)


def test_the_nearest_are_those_of_a_slow_loop_and_bear_their_own_diagnosis():
    known = KnownLesions.fit("clinic", EMBEDDINGS, DIAGNOSES, PATIENTS, 0.1)
    queries = RNG.normal(size=(3, 8)).astype(np.float32)
    rows, distances = known.nearest(queries, 4)
    for query, own_rows, own_distances in zip(queries, rows, distances, strict=True):
        expected = sorted((cosine_distance(query, e), d) for e, d in zip(EMBEDDINGS, DIAGNOSES, strict=True))[:4]
        np.testing.assert_allclose(own_distances, [distance for distance, _ in expected], atol=1e-6)
        assert [known.diagnosis_N[row] for row in own_rows] == [diagnosis for _, diagnosis in expected]
    np.testing.assert_allclose(known.unusual(queries), known.nearest(queries, 5)[1].mean(axis=1))


def test_the_threshold_is_a_quantile_of_distances_to_lesions_of_other_patients():
    scores = []
    for i, embedding in enumerate(EMBEDDINGS):
        others = [cosine_distance(embedding, e) for e, p in zip(EMBEDDINGS, PATIENTS, strict=True) if p != PATIENTS[i]]
        scores.append(np.mean(sorted(others)[:5]))
    known = KnownLesions.fit("clinic", EMBEDDINGS, DIAGNOSES, PATIENTS, 0.1)
    assert known.unusual_above == pytest.approx(np.quantile(scores, 0.9), abs=1e-6)


def test_what_is_like_none_of_them_is_unusual_and_a_copy_is_not():
    clustered = (np.eye(8)[0] + 0.05 * RNG.normal(size=(40, 8))).astype(np.float32)
    known = KnownLesions.fit("clinic", clustered, DIAGNOSES, PATIENTS, 0.05)
    far, copy = known.unusual(np.stack([-np.eye(8)[0], clustered[0]]).astype(np.float32))
    assert far > known.unusual_above > copy


def test_they_stand_in_an_order_that_tells_nothing_and_come_back_from_the_folder(tmp_path):
    known = KnownLesions.fit("clinic", EMBEDDINGS, DIAGNOSES, PATIENTS, 0.1)
    assert known.diagnosis_N != DIAGNOSES and sorted(known.diagnosis_N) == sorted(DIAGNOSES)
    known.write(tmp_path)
    text = (tmp_path / "known_lesions.json").read_text()
    assert "p3" not in json.loads(text).values() and "patient" not in text
    back = KnownLesions.read(tmp_path)
    assert np.array_equal(back.embedding_ND, known.embedding_ND)
    assert (back.diagnosis_N, back.unusual_above, back.cohort) == (known.diagnosis_N, known.unusual_above, "clinic")
    assert KnownLesions.read(tmp_path / "elsewhere") is None


def test_files_of_two_exports_are_refused(tmp_path):
    KnownLesions.fit("clinic", EMBEDDINGS, DIAGNOSES, PATIENTS, 0.1).write(tmp_path)
    facts = json.loads((tmp_path / "known_lesions.json").read_text())
    (tmp_path / "known_lesions.json").write_text(json.dumps(facts | {"diagnosis": ["MEL"]}))
    with pytest.raises(ValueError, match=r"are of different lesions\. Copy the folder again"):
        KnownLesions.read(tmp_path)


@pytest.mark.parametrize("patients", [["p"] * 40, [f"p{i // 38}" for i in range(40)]])
def test_too_few_lesions_of_others_are_said_to_be(patients):
    with pytest.raises(ValueError, match=r"cohort clinic: 5 lesions of other patients are needed beside each"):
        KnownLesions.fit("clinic", EMBEDDINGS, DIAGNOSES, patients, 0.1)
