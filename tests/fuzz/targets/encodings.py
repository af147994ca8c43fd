"""encoding.json, and tables of values that it encodes: it is total, whatever the values."""

import datetime
import decimal
import json
from random import Random
from typing import Any

import numpy as np
import pandas as pd
from mutation import mutated_tree, odd_value
from pydantic import ValidationError
from target import Refused, Target

from slimp_pipeline.tables.encoding import Encoding, encode, one_hot, row_groups

_FIELDS = {
    "age_years": {"kind": "numeric", "mean": 50.0, "std": 10.0, "minimum": 0.0, "maximum": 120.0},
    "depth_mm": {"kind": "numeric", "mean": 1.0, "std": 2.0, "minimum": None, "maximum": None},
    "site": {"kind": "categorical", "categories": ["arm", "back"], "digested": False},
    "note": {"kind": "categorical", "categories": ["0f" * 8], "digested": True},
    "symptom": {"kind": "checkbox", "options": ["itch", "bleed"]},
}
_COLUMNS = ["age_years", "depth_mm", "site", "note", "symptom.itch", "symptom.bleed", "other"]
_ODD = [pd.NaT, pd.NA, b"arm", (1, 2), datetime.date(2020, 1, 31), decimal.Decimal("NaN"), np.float32(3), 1j, {1}]
_USUAL = ["arm", "back", "52", 52, 7.5, "True", False, "yes", "0", None, "12,5", "ARM "]
_NAMES = ["kind", "mean", "std", "categories", "options", "age_years", "fields"]


def _value(rng: Random) -> Any:
    kind = rng.random()
    return rng.choice(_USUAL) if kind < 0.4 else rng.choice(_ODD) if kind < 0.5 else odd_value(rng)


def _frame(columns: dict[str, list[Any]], typed: str) -> pd.DataFrame:
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    if typed == "inferred":
        return frame.map(_without_surrogates).infer_objects()
    texts = frame.map(lambda value: _without_surrogates(str(value)))
    return texts.astype(typed) if typed in ("str", "category") else frame


def _without_surrogates(value: Any) -> Any:
    """pandas keeps those as objects alone."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def make() -> Target:
    seed = {"lesion": {"fields": _FIELDS}, "patient": {"fields": {}}, "num_patients": 9}

    def draw(rng: Random) -> tuple[str, dict[str, list[Any]], str]:
        tree = mutated_tree(rng, [seed], _NAMES) if rng.random() < 0.6 else seed
        num_rows = rng.choice((0, 1, 3))
        columns = {name: [_value(rng) for _ in range(num_rows)] for name in rng.sample(_COLUMNS, rng.randrange(8))}
        return json.dumps(tree), columns, rng.choice(("object", "object", "inferred", "str", "category"))

    def call(drawn: tuple[str, dict[str, list[Any]], str]) -> None:
        text, columns, typed = drawn
        try:
            encoding = Encoding.model_validate_json(text)
        except ValidationError as error:  # `read_checkpoint` puts it in words
            raise Refused from error
        frame = _frame(columns, typed)
        level = encoding.lesion
        encoded = encode(level, frame)
        assert {len(values) for values in encoded.values()} == {len(frame)}
        assert (np.abs(encoded["numeric"][~np.isnan(encoded["numeric"])]) <= 8).all()
        sizes = [len(level.fields[name].categories) + 2 for name in level.names("categorical")]
        assert (encoded["categorical"] >= 0).all() and (encoded["categorical"] < np.array(sizes)).all()
        assert np.isfinite(one_hot(level, frame)).all()
        assert len(row_groups(encoded)) == len(frame)

    return Target(draw, call, (), share=20)
