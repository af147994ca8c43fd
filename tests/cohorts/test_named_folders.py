"""The folder that a row names, and the one in which its file lies."""

import pandas as pd
import pytest

from slimp_pipeline.cohorts.named_folders import compare_folders

THERE = [
    "/raw/photos/siteA/1.jpg",
    "/raw/photos/siteB/2.heic",
    "/raw/photos/P00/derm/3.jpg",
    "/raw/photos/P01/derm/4.jpg",
]


@pytest.mark.parametrize(
    ("named", "path", "told"),
    [
        ("siteA", "/raw/photos/siteA/1.jpg", "own"),
        ("SITEA", "/raw/photos/siteA/1.jpg", "own"),
        ("photos/siteA", "/raw/photos/siteA/1.jpg", "own"),
        ("siteB", "/raw/photos/siteA/1.jpg", "other"),  # where the only file has a suffix that isn't read
        ("siteb", "/raw/photos/siteA/1.jpg", "other"),
        ("siteX", "/raw/photos/siteA/1.jpg", "absent"),
        ("P00/derm", "/raw/photos/P01/derm/4.jpg", "other"),
        ("P07/derm", "/raw/photos/P01/derm/4.jpg", "absent"),
        ("C:\\scans\\derm", "/raw/photos/P01/derm/4.jpg", "absent"),
        ("sA\u0308te", "/raw/s\u00e4te/6.jpg", "own"),
    ],
)
def test_folders_are_compared_from_the_innermost_on(named: str, path: str, told: str) -> None:
    answer = compare_folders(pd.Series([named]), pd.Series([path]), [*THERE, path])
    assert answer.tolist() == [told]
