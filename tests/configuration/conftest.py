"""A folder `conf` of its own: the repository's `base`, and what a test writes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MINE = "base/parameters/cohorts/mine.yml"

Write = Callable[..., Path]


@pytest.fixture
def empty_conf(tmp_path: Path) -> Path:
    conf = tmp_path / "conf"
    (conf / "base/parameters/cohorts").mkdir(parents=True)
    (conf / "local").mkdir()
    return conf


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    conf = tmp_path / "conf"
    shutil.copytree(REPOSITORY / "conf/base", conf / "base")
    shutil.copytree(REPOSITORY / "conf/test", conf / "test")
    (conf / "local").mkdir()
    return conf


@pytest.fixture
def cohort() -> Callable[[str], str]:
    """A cohort `mine`, with a line of it replaced: `cohort("label: {column: dx}")`."""
    lines = {
        "name": "mine",
        "title": "My clinic",
        "licence": "internal",
        "source": "none",
        "folder": "mine",
        "tables": "[{file: lesions.csv}]",
        "images": "{sources: [photos]}",
        "image_id": "photo",
        "label": "{column: diagnosis, malignant: [melanoma]}",
        "fields": "{age_years: {kind: numeric, level: patient, column: age}}",
        "leaks": "{biopsy: it is the label}",
    }

    def write(changed: str = "") -> str:
        key = changed.split(":", 1)[0]
        kept = [f"  {name}: {value}" for name, value in lines.items() if name != key]
        return "\n".join(["mine:", f"  {changed}", *kept]) + "\n" if changed else "\n".join(["mine:", *kept]) + "\n"

    return write
