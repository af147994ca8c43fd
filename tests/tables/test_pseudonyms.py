"""Pseudonyms that tell ids apart, and not what they are."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.tables import pseudonyms as module
from slimp_pipeline.tables.pseudonyms import local_salt, name_patients, pseudonyms

SALT = bytes(range(32))


def test_the_salt_is_made_once_stays_and_is_its_owners_alone(tmp_path):
    path = tmp_path / "data" / "salt"
    with ThreadPoolExecutor(4) as threads:
        salts = set(threads.map(local_salt, [path] * 8))
    assert salts == {local_salt(path)} and len(local_salt(path)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert local_salt(tmp_path / "other") not in salts


def test_a_file_that_holds_no_salt_is_refused(tmp_path):
    (tmp_path / "salt").write_text("secret")
    with pytest.raises(ValueError, match="is no salt of pseudonyms"):
        local_salt(tmp_path / "salt")


@given(ids=st.lists(st.text(max_size=5), unique=True, max_size=20))
def test_unlike_ids_have_unlike_pseudonyms_whichever_others_are_asked_for(ids):
    names = pseudonyms(ids, "patient", SALT)
    assert len(set(names.values())) == len(ids)
    assert all(pseudonyms([name], "patient", SALT)[name] == names[name] for name in ids)
    assert all(len(text) == 8 and text.isalnum() for text in names.values())


def test_without_the_salt_or_for_another_kind_it_is_another():
    one = pseudonyms(["P1"], "patient", SALT)["P1"]
    assert one != pseudonyms(["P1"], "patient", SALT[::-1])["P1"] != pseudonyms(["P1"], "image", SALT)["P1"] != one


def test_where_two_would_be_alike_all_are_longer(monkeypatch):
    monkeypatch.setattr(module, "_LENGTHS", (1, 8))
    names = pseudonyms([str(number) for number in range(40)], "patient", SALT)  # of 32 letters
    assert len(set(names.values())) == 40 and {len(text) for text in names.values()} == {8}


def test_patients_are_named_once_and_alike_in_every_report(tmp_path):
    rows = pd.DataFrame({"patient_id": ["b", "a", "b", "c"]})
    names = name_patients(rows, tmp_path / "salt")
    assert sorted(names["patient_id"]) == ["a", "b", "c"] and names["pseudonym"].is_monotonic_increasing
    again = name_patients(rows[::-1].iloc[:2], tmp_path / "salt")
    assert set(map(tuple, again.to_numpy())) < set(map(tuple, names.to_numpy()))
