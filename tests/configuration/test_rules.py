"""What is told apart from texts here is what Kedro's loader tells apart."""

from io import StringIO
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from slimp_pipeline.configuration.rules import Loader, value_of

WORDS = [
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "n",
    "true",
    "True",
    "null",
    "~",
    "Null",
    "None",
    "NaN",
    ".nan",
    ".inf",
    "-.INF",
]
NUMBERS = [
    "007",
    "08",
    "0o17",
    "0x1F",
    "0b1",
    "1_000",
    "1:30",
    "1:30.5",
    "2019-01-01",
    "1e3",
    "1.e3",
    ".5",
    "+1",
    "1.10",
    "-0",
]


def as_kedro_reads(text: str) -> object:
    return OmegaConf.to_container(OmegaConf.load(StringIO(f"x: {text}")), resolve=False)["x"]  # type: ignore[index, call-overload]


def as_read_here(text: str) -> object:
    loader = Loader(f"x: {text}")
    (_, node), *_ = loader.get_single_node().value
    return value_of(node)


@pytest.mark.parametrize("text", [*WORDS, *NUMBERS])
def test_a_text_without_quotes_is_read_as_kedros_loader_reads_it(text: str) -> None:
    here, there = as_read_here(text), as_kedro_reads(text)
    assert (type(here), str(here)) == (type(there), str(there))


@given(st.from_regex(r"[-+]?[0-9._:eE]{1,9}", fullmatch=True))
def test_whatever_looks_like_a_number_is_read_as_kedros_loader_reads_it(text: str) -> None:
    try:
        there = as_kedro_reads(text)
    except (ValueError, yaml.YAMLError):
        return
    here = as_read_here(text)
    assert (type(here), str(here)) == (type(there), str(there))


def test_every_shipped_file_is_read_as_kedros_loader_reads_it() -> None:
    for path in sorted((Path(__file__).parents[2] / "conf").rglob("*.yml")):
        text = path.read_text(encoding="utf-8")
        assert yaml.load(text, Loader=Loader) == OmegaConf.to_container(OmegaConf.load(path)), path
