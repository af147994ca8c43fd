"""How Kedro reads `conf/`: what is wrong in it is said by file and line, before anything is computed."""

import copy
import sys
from pathlib import Path
from typing import Any, cast

from kedro.config import OmegaConfigLoader
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from slimp_pipeline.cohorts.combined import joint_name, names_of
from slimp_pipeline.configuration.check import CheckedConfiguration
from slimp_pipeline.tracking.anonymous import without_places


class CheckedConfigLoader(OmegaConfigLoader):
    """Kedro's loader, which refuses slips in files, unknown names and wrong settings, and merges parameters once."""

    def __init__(self, conf_source: str | Path, env: str | None = None, **options: Any) -> None:
        options["runtime_params"] = _joined_sources(options.get("runtime_params") or {})
        run_env = env or options.get("default_run_env") or "local"
        self._checked = CheckedConfiguration(Path(conf_source), run_env, options["runtime_params"])
        super().__init__(str(conf_source), env, **options)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return one kind of configuration; parameters are checked when they are first read."""
        read_before = key in self
        try:
            configuration = cast(dict[str, Any], super().__getitem__(key))
        except OmegaConfBaseException as error:
            raise ValueError(self._in_words(key, error)) from error
        if key == "globals":
            return _joined_sources(configuration)
        if key != "parameters":
            return configuration
        if not read_before:
            self._checked.require_valid(configuration)
            # Of each line of a description Kedro would make a dataset: thousands.
            configuration = self._checked.without_cohorts(configuration)
            if _is_for_kedro_viz():  # whose pages hold every parameter, and are handed on
                configuration = without_places(configuration)
            self[key] = configuration
        return copy.deepcopy(configuration)

    def _in_words(self, key: str, error: OmegaConfBaseException) -> str:
        """`${...}` that leads nowhere."""
        name = str(error.full_key or "")
        place = self._checked.where(key, name) if name else ""
        return ": ".join(part for part in (place, name, str(error).splitlines()[0]) if part)


def cohort_in_role(name: str, *, _root_: DictConfig) -> Any:
    """Resolve `${cohort:NAME}`: the cohort's description; of `ONE+OTHER`, those of several under `members`."""
    members = names_of(name)
    if len(members) == 1:
        return _root_[name]
    described = {member: OmegaConf.to_container(_root_[member], resolve=True) for member in members}
    # A node rather than a dict: what an environment or the command line changes is merged into it.
    return OmegaConf.create({"name": joint_name(members), "members": described})


def _joined_sources(values: dict[str, Any]) -> dict[str, Any]:
    """A list of source cohorts as it stands in folders' names: joined by `+`."""
    sources = values.get("source_cohort")
    return values | {"source_cohort": joint_name(sources)} if isinstance(sources, list) else values


def _is_for_kedro_viz() -> bool:
    """Whether the command is `kedro viz ...`, in a process of its own too."""
    return [argument for argument in sys.argv[1:] if not argument.startswith("-")][:1] == ["viz"]
