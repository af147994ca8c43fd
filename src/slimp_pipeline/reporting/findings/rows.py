"""Where rows go, as the page shows it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from slimp_pipeline.evaluation.audits import row_counts as steps

_NAMES = {
    steps.READ: "in the raw table",
    steps.QUARANTINE: "not quarantined",
    steps.IMAGE: "with an image",
    steps.SPLIT: "in the split",
    steps.LABEL: "with a label",
    steps.PRETRAIN: "pre-trains",
    steps.ADAPT: "adapts",
    steps.TRAIN: "trains the probe",
    steps.TEST: "tests",
}


def step_name(step: str, partition: str) -> str:
    """A step in words, with its partition where it has one."""
    return f"{_NAMES[step]}, {partition.replace('_', ' ')}" if partition else _NAMES[step]


def row_tables(row_counts: pd.DataFrame, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """One table per role: role, title, and lines of step, reason, num_in, num_set_aside, num_out."""
    counts = row_counts.fillna({"partition": "", "reason": ""})
    return [
        {
            "role": role,
            "title": titles[str(role)],
            "lines": [row._asdict() | {"step": step_name(row.step, row.partition)} for row in rows.itertuples()],
        }
        for role, rows in counts.groupby("role", sort=False)
    ]


def lineage_lines(lineage: Mapping[str, Any], manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What the page rests on, name by value; what an older evaluation didn't note is left out."""
    lines = {
        f"fingerprint of the {role}": f"{known['fingerprint']} ({known['cohort']})" for role, known in manifests.items()
    }
    versions = {"run": "evaluation", "pretrain": "pre-training", "adapt": "adaptation"}
    lines |= {f"version of the {name}": lineage[key] for key, name in versions.items() if lineage.get(key)}
    lines |= {name: lineage[key] for key, name in _FACTS.items() if lineage.get(key)}
    lines |= {f"seed of the {name}": str(seed) for name, seed in lineage.get("seeds", {}).items()}
    if packages := lineage.get("packages"):
        lines["packages"] = ", ".join(f"{name} {version}" for name, version in packages.items())
    return lines


_FACTS = {"settings": "digest of the settings", "git_commit": "commit of the code", "device": "device"}
