"""Named arrays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slimp_pipeline.datasets import ArraysDataset

dtypes = st.sampled_from(["float32", "float64", "int64", "uint8", "bool"])
names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8)


@given(st.lists(st.tuples(names, dtypes, st.integers(0, 4)), unique_by=lambda item: item[0], max_size=14))
def test_order_names_and_types_are_kept(tmp_path_factory, items):
    arrays = {name: np.ones((size, 3), dtype=dtype) for name, dtype, size in items}
    dataset = ArraysDataset(filepath=str(tmp_path_factory.mktemp("arrays") / "data.safetensors"))
    dataset.save(arrays)
    loaded = dataset.load()
    assert list(loaded) == list(arrays)
    for name, values in arrays.items():
        assert loaded[name].dtype == values.dtype and loaded[name].shape == values.shape
        np.testing.assert_array_equal(loaded[name], values)


def test_views_are_saved_as_they_look(tmp_path):
    dataset = ArraysDataset(filepath=str(tmp_path / "data.safetensors"))
    dataset.save({"turned": np.arange(6).reshape(2, 3).T})
    np.testing.assert_array_equal(dataset.load()["turned"], [[0, 3], [1, 4], [2, 5]])
