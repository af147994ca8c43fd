"""CSV tables that are safe to open in a spreadsheet."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kedro.io import Version

from slimp_pipeline.datasets import AtomicDataset, CSVTableDataset

TYPE = "slimp_pipeline.datasets.CSVTableDataset"
ROWS = pd.DataFrame(
    {
        "image_id": ["=cmd|' /C calc'!A0", "+1", "-7", "@x", "\tx", "\rx", "'=x", "'x", "née", 'a,"b"\n'],
        "value": [-1.5, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
    }
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)


def dataset(path: Path, **load_args: Any) -> CSVTableDataset:
    return CSVTableDataset(filepath=str(path), load_args={"keep_default_na": False, **load_args})


@given(cells=st.lists(st.one_of(TEXTS, st.text("'=+-@\t\r\n\",x", max_size=4)), max_size=6))
def test_any_text_comes_back_exactly(tmp_path_factory, cells):
    table = pd.DataFrame({"text": pd.Series(cells, dtype="str"), "number": range(len(cells))})
    stored = dataset(tmp_path_factory.mktemp("table") / "data.csv", dtype={"text": str, "number": int})
    stored.save(table)
    pd.testing.assert_frame_equal(stored.load(), table)


def test_on_disk_no_text_starts_as_a_formula_and_negative_numbers_stay_numbers(tmp_path):
    dataset(tmp_path / "data.csv").save(ROWS)
    plain = pd.read_csv(tmp_path / "data.csv", keep_default_na=False)
    assert not plain["image_id"].str.match("[=+\\-@\t\r]").any()
    assert plain["value"].tolist() == ROWS["value"].tolist()
    pd.testing.assert_frame_equal(dataset(tmp_path / "data.csv").load(), ROWS)


def test_texts_are_utf_8_whatever_the_locale(tmp_path):
    dataset(tmp_path / "data.csv").save(ROWS)
    assert "née" in (tmp_path / "data.csv").read_text(encoding="utf-8")


def test_within_a_versioned_entry_the_preview_shows_texts_as_they_are(tmp_path):
    make = {"filepath": str(tmp_path / "data.csv"), "dataset": {"type": TYPE}, "preview": True}
    AtomicDataset(**make, version=Version(None, "2026-01-01T00.00.00.000Z")).save(ROWS)
    stored = AtomicDataset(**make, version=Version(None, None))
    assert stored.preview(nrows=2)["data"] == [["=cmd|' /C calc'!A0", -1.5], ["+1", 0.0]]
    assert stored.preview.__annotations__["return"] == "TablePreview"


@pytest.mark.parametrize("catalog", sorted((Path(__file__).parents[2] / "conf").glob("*/catalog*.yml")), ids=str)
def test_every_csv_of_the_catalog_is_such_a_table(catalog):
    for name, entry in yaml.safe_load(catalog.read_text()).items():
        assert str(entry.get("filepath")).endswith(".csv") == (entry.get("dataset", {}).get("type") == TYPE), name
