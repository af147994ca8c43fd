"""Duplicate photographs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.tables import duplicates
from slimp_pipeline.tables.duplicates import SEEN_COLUMNS, find_duplicates, find_seen_pictures, number_pictures


def images_of(hashes, patients=None, digests=None, folds=None, lesions=None) -> pd.DataFrame:
    count = len(hashes)
    return pd.DataFrame(
        {
            "image_id": [f"i{row:03d}" for row in range(count)],
            "lesion_id": lesions or [f"l{row}" for row in range(count)],
            "patient_id": patients or [f"p{row}" for row in range(count)],
            "fold": folds or [0] * count,
            "sha256": digests or [f"s{row}" for row in range(count)],
            "perceptual_hash": np.array(hashes, dtype=np.uint64),
        }
    )


@st.composite
def clustered_hashes(draw):
    """Hashes that lie up to five flipped bits from a few centres, also in the highest bit."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
    hashes = []
    for _ in range(draw(st.integers(0, 12))):
        value = draw(st.sampled_from(centres))
        for bit in draw(st.sets(st.integers(0, 63), max_size=5)):
            value ^= 1 << bit
        hashes.append(value)
    return hashes


@given(hashes=clustered_hashes(), max_bits=st.integers(0, 3), data=st.data())
def test_near_duplicates_are_exactly_those_that_brute_force_finds(hashes, max_bits, data):
    count = len(hashes)
    patients = data.draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    folds = data.draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count))
    expected = {
        (f"i{a:03d}", f"i{b:03d}", folds[a] != folds[b])
        for a in range(count)
        for b in range(a + 1, count)
        if patients[a] != patients[b] and (hashes[a] ^ hashes[b]).bit_count() <= max_bits
    }
    found = find_duplicates(images_of(hashes, patients, folds=folds), max_bits)
    assert set(found[["image_a", "image_b", "across_folds"]].itertuples(index=False, name=None)) == expected
    assert len(found) == len(expected)
    assert found["kind"].eq("near").all()


def test_near_duplicates_are_found_where_thousands_of_others_share_a_quarter_of_their_bits():
    random = np.random.default_rng(0)
    pair = [0x1111_2222_3333_4444, 0x1111_2222_3333_4445]
    crowds = []
    for band in (16, 32, 48):  # those in which the two agree
        shared = np.uint64(pair[0] & (0xFFFF << band))
        crowds.append(random.integers(2**64, size=2100, dtype=np.uint64) & ~np.uint64(0xFFFF << band) | shared)
    found = find_duplicates(images_of([*pair, *np.concatenate(crowds).tolist()]), max_bits=1)
    assert found[["image_a", "image_b"]].to_numpy().tolist() == [["i000", "i001"]]


def test_the_same_bytes_are_named_so():
    found = find_duplicates(images_of([5, 5, 5], digests=["x", "x", "y"]), max_bits=0)
    assert found["kind"].tolist() == ["same bytes", "near", "near"]


@pytest.mark.parametrize(("folds", "across"), [([0, 0], False), ([0, 1], True), ([-1, 0], True)])
def test_a_pair_that_lies_across_folds_is_flagged(folds, across):
    found = find_duplicates(images_of([7, 7], folds=folds), max_bits=3)
    assert found["across_folds"].tolist() == [across]


def test_pairs_of_one_patient_are_left_out():
    assert find_duplicates(images_of([7, 7], patients=["a", "a"], digests=["x", "x"]), max_bits=3).empty


@pytest.mark.parametrize("hashes", [[], [7]])
def test_a_cohort_of_none_or_one_image_has_no_duplicates_but_the_columns(hashes):
    found = find_duplicates(images_of(hashes), max_bits=3)
    assert found.empty
    assert list(found) == ["image_a", "image_b", "kind", "across_folds"]


def test_a_lesion_that_two_patients_share_is_found_and_told_apart_from_one_patients_lesion():
    far = [0, 2**64 - 1, 2**40 - 1, 2**20 - 1]
    images = images_of(far, patients=["p0", "p1", "p2", "p2"], lesions=["l0", "l0", "l1", "l1"], folds=[0, 1, 0, 0])
    assert find_duplicates(images, 3).to_numpy().tolist() == [["i000", "i001", "same lesion", True]]


def test_a_shared_picture_of_a_shared_lesion_stands_once():
    images = images_of([7, 7], lesions=["l0", "l0"])
    assert find_duplicates(images, 3)["kind"].tolist() == ["near"]


@given(st.lists(st.integers(0, 2**10 - 1), min_size=1, max_size=30), st.integers(0, 3))
def test_pictures_are_numbered_alike_where_a_chain_of_near_hashes_joins_them(hashes, max_bits):
    number_N = number_pictures(np.array(hashes, dtype=np.uint64), max_bits)
    for start, value in enumerate(hashes):
        joined, grown = {value}, True
        while grown:
            more = {other for other in hashes if any((other ^ one).bit_count() <= max_bits for one in joined)} | joined
            grown, joined = more != joined, more
        expected = [other in joined for other in hashes]
        assert (number_N == number_N[start]).tolist() == expected


@given(tested=clustered_hashes(), trained=clustered_hashes(), max_bits=st.integers(0, 3))
def test_seen_pictures_are_exactly_those_that_brute_force_finds_across_the_two_cohorts(tested, trained, max_bits):
    found = find_seen_pictures(images_of(tested), images_of(trained).assign(sha256="other"), max_bits)
    assert list(found) == SEEN_COLUMNS and found["kind"].eq("near").all()
    expected = [
        (f"i{a:03d}", f"i{b:03d}")
        for a, one in enumerate(tested)
        for b, other in enumerate(trained)
        if (one ^ other).bit_count() <= max_bits
    ]
    assert list(found[["image_id", "seen_as"]].itertuples(index=False, name=None)) == expected


def test_seen_pictures_of_the_same_bytes_are_named_so():
    tested, trained = images_of([5, 9 << 40], digests=["x", "y"]), images_of([5, 5, 9 << 40], digests=["x", "z", "w"])
    found = find_seen_pictures(tested, trained, max_bits=0)
    assert found["kind"].tolist() == ["same bytes", "near", "near"]


def test_the_same_bytes_are_found_where_too_many_hashes_are_alike_to_compare(monkeypatch, caplog):
    monkeypatch.setattr(duplicates, "_MAX_BUCKET", 3)
    blank = images_of([0] * 5, digests=["x", "y", "x", "x", "z"])
    found = find_duplicates(blank, max_bits=3)
    assert found[["image_a", "image_b"]].to_numpy().tolist() == [["i000", "i002"], ["i000", "i003"]]
    assert "5 pictures have hashes alike: near duplicates among them aren't searched" in caplog.text
    seen = find_seen_pictures(blank, images_of([0] * 3, digests=["z", "x", "x"]), max_bits=3)
    assert set(seen[["image_id", "seen_as"]].itertuples(index=False, name=None)) == {
        ("i000", "i001"), ("i002", "i001"), ("i003", "i001"), ("i004", "i000"),
    }  # fmt: skip
    assert seen["kind"].eq("same bytes").all()
