"""Which pipelines there are."""

import warnings

from kedro.pipeline import Pipeline

from slimp_pipeline.pipelines import (
    adapt,
    compare,
    download,
    embed,
    evaluate,
    export,
    extrapolate,
    fabricate,
    features,
    ingest,
    inspect,
    pretrain,
    prune,
    report,
    search,
)

ROLES = ("source", "target")
_SHARED_PARAMETERS = {
    "params:raw_root", "params:fabricated_root", "params:ingest", "params:features", "params:target.cohort"
}  # fmt: skip


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines by name; `__default__` runs everything but what people ask for by name.

    `fabricate`, `ingest` and `features` are the same pipeline in two roles, `source` and `target`. Each name
    holds what its stage needs of the earlier ones, so that `--pipeline=pretrain` and `--pipeline=evaluate`
    work alone.
    """
    with warnings.catch_warnings():
        # The roles' datasets are named `<role>.<dataset>` in the stages that read both roles.
        warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")
        raw = {role: _in_role(fabricate.create_pipeline(), role) for role in ROLES}
        ingested = {role: raw[role] + _in_role(ingest.create_pipeline(), role) for role in ROLES}
        featured = {role: ingested[role] + _in_role(features.create_pipeline(), role) for role in ROLES}
        pretrained = featured["source"] + _as_stage(pretrain.create_pipeline(), "pretrain")
        searched = featured["source"] + _as_stage(search.create_pipeline(), "search")
        adapted = featured["target"] + _as_stage(adapt.create_pipeline(), "adapt")
        evaluated = adapted + _as_stage(evaluate.create_pipeline(), "evaluate")
        extrapolated = featured["source"] + featured["target"] + _as_stage(extrapolate.create_pipeline(), "extrapolate")
        inspected = ingested["target"] + _as_stage(inspect.create_pipeline(), "inspect")
        reported = _as_stage(report.create_pipeline(), "report")
    return {
        "download": download.create_pipeline(),
        "fabricate": raw["source"] + raw["target"],
        "ingest": ingested["source"] + ingested["target"],
        "features": featured["source"] + featured["target"],
        "search": searched,
        "pretrain": pretrained,
        "adapt": adapted,
        "extrapolate": extrapolated,
        "evaluate": evaluated,
        "export": _as_stage(export.create_pipeline(), "export"),
        "embed": _as_stage(embed.create_pipeline(), "embed"),
        "report": reported,
        "inspect": inspected,
        "compare": compare.create_pipeline(),
        "prune": prune.create_pipeline(),
        "__default__": pretrained + evaluated + reported,
    }


def _in_role(stage: Pipeline, role: str) -> Pipeline:
    shared = _SHARED_PARAMETERS & stage.inputs()
    return Pipeline(
        stage, namespace=role, parameters={name: name for name in shared}, prefix_datasets_with_namespace=True
    )


def _as_stage(stage: Pipeline, name: str) -> Pipeline:
    """One box in Kedro-Viz, which opens on a click; its datasets keep their names."""
    return Pipeline(stage, namespace=name, prefix_datasets_with_namespace=False)
