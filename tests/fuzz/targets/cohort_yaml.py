"""A cohort's YAML, as a run reads it: checked, resolved, validated."""

import tempfile
from pathlib import Path
from random import Random

import yaml
from kedro.config import MissingConfigException
from mutation import ODD_VALUES, mutated_text, mutated_tree
from pydantic import ValidationError
from target import Refused, Target

from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.configuration.check import CheckedConfiguration
from slimp_pipeline.configuration.rules import Loader
from slimp_pipeline.parameters import BLOCKS
from slimp_pipeline.session.config_loader import CheckedConfigLoader

_MINE = """\
mine:
  name: mine
  title: My clinic
  licence: internal
  source: none
  folder: mine
  tables: [{file: lesions.csv, separator: ";"}, {file: [more.csv, more.parquet], join_on: id, required: false}]
  images: {sources: [photos], pattern: 'img\\d+$', suffixes: [.jpg]}
  image_id: photo
  image_id_is_path: true
  lesion_id: [lesion]
  patient_id: [clinic, patient]
  missing: ["?"]
  label: {column: dx, classes: {"1": nevus, "2": melanoma}, malignant: [melanoma], missing: [x]}
  fields:
    age_years: {kind: numeric, level: patient, column: age, minimum: 0, maximum: 120, decimal: ","}
    sex: {kind: categorical, level: patient, column: sex, categories: [f, m], rename: {w: f}}
    symptom: {kind: checkbox, level: lesion, options: {itch: itches, bleed: bleeds}}
  leaks: {biopsy: it is the label}
  optional: [bleeds]
  download:
    archive: {collections: [251], search: "sex:male"}
    files: [{url: "https://example.org/a.zip", to: a, unpack: true, size_bytes: 3}]
    expected: {num_images: 7, files: [{file: a.csv, rows: 2}]}
"""
_TOKENS = [
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "#",
    "'",
    '"',
    "|",
    ">",
    "&a ",
    "*a",
    "!",
    "!!python/object:os.system ",
    "%",
]
_TOKENS += [
    "${mine.name}",
    "${mine}",
    "${",
    "${oc.env:HOME}",
    "~",
    "null",
    "no",
    "0x1f",
    "1e3",
    "1:30",
    "<<: ",
    "\t",
    "    ",
]
_TOKENS += [
    "\u00a0",
    "“x”",
    "---\n",
    "...\n",
    "? ",
    "\\",
    "(",
    "[[[[",
    "{{{{",
    "a: b: c",
    ".inf",
    ".nan",
    "9" * 400,
    "\n",
]


def make() -> Target:
    conf = Path(tempfile.mkdtemp()) / "conf"
    path = conf / "base/parameters/cohorts/mine.yml"
    path.parent.mkdir(parents=True)
    (conf / "local").mkdir()
    blocks = {name: {} for name in BLOCKS} | {"study": {"variants": [{"label": "slimp"}]}}
    roles = {role: {"cohort": "${mine}"} for role in ("source", "target", "downloaded")}
    (conf / "base/parameters.yml").write_text(yaml.safe_dump({**blocks, **roles}))
    names = dict.fromkeys(("source_cohort", "target_cohort", "cohort"), "mine")
    (conf / "base/globals.yml").write_text(yaml.safe_dump(names))
    tree = yaml.safe_load(_MINE)

    def draw(rng: Random) -> str:
        if rng.random() < 0.6:
            return mutated_text(rng, [_MINE], [*_TOKENS, *map(str, ODD_VALUES)])
        changed = mutated_tree(rng, [tree], [*CohortSpec.model_fields, "column", "categories"])
        try:
            return str(yaml.dump(changed, sort_keys=False, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
        except UnicodeEncodeError:
            return str(yaml.dump(changed, sort_keys=False, Dumper=yaml.SafeDumper))

    def call(text: str) -> None:
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        if len(text) % 4:  # Kedro's part takes most of the time
            CheckedConfiguration(conf, "local", {})
            cohort = yaml.load(text, Loader).get("mine")
        else:
            cohort = CheckedConfigLoader(conf, "local", base_env="base", default_run_env="local")["parameters"][
                "source"
            ]["cohort"]
        try:
            spec = CohortSpec.model_validate(cohort)
        except ValidationError as error:
            raise Refused from error
        assert spec.tables and spec.image_id == spec.image_id.strip()

    return Target(draw, call, (ValueError, MissingConfigException), share=20)
