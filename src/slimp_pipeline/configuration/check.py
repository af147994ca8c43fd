"""All checks of `conf/`, in the order in which their answers are worth reading."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slimp_pipeline.cohorts.combined import names_of
from slimp_pipeline.configuration.cohort_texts import cohort_slips
from slimp_pipeline.configuration.files import ConfFile, read_files
from slimp_pipeline.configuration.names import close_to, cohorts, name_slips, require_environment
from slimp_pipeline.configuration.places import Places
from slimp_pipeline.configuration.settings import ROLES, setting_problems
from slimp_pipeline.configuration.slips import Slip, refuse


class CheckedConfiguration:
    """The files of `conf/`, without slips.

    Args:
        conf: The folder `conf`; anything else (an archive, a remote address) is left to Kedro.
        env: Environment that is laid over `base`.
        runtime_params: Parameters of the command line.

    Raises:
        ValueError: If the environment, a name or a cohort doesn't exist, or a file holds a slip; says file, line
            and remedy.
    """

    def __init__(self, conf: Path, env: str, runtime_params: Mapping[str, Any]) -> None:
        self._runtime_params = runtime_params
        self._files: list[ConfFile] = []
        if not conf.is_dir():
            return
        require_environment(conf, env)
        self._files = read_files(conf, env)
        refuse([*name_slips(self._files, runtime_params), *_text_slips(self._files)])
        places = self._places("parameters", "globals")
        for role, chosen in ROLES.items():
            name, place = places.value(chosen)
            names = names_of(name)
            if len(names) > 1 and role != "source":
                raise ValueError(f"{place}: `{name}` are several cohorts; {chosen} names one. Only source_cohort may")
            if twice := [one for one in names if names.count(one) > 1]:
                raise ValueError(f"{place}: {chosen} names `{twice[0]}` twice")
            for one in names:
                _require_cohort(conf, env, self._files, one, place)

    def require_valid(self, parameters: Mapping[str, Any]) -> None:
        """Refuse wrong settings, whatever pipeline reads them: one of a later pipeline would be met hours later.

        Args:
            parameters: All parameters, merged and resolved.

        Raises:
            ValueError: With every wrong setting, and where it was set.
        """
        problems = setting_problems(parameters, self._places("parameters", "globals"))
        refuse(list(problems), title="wrong settings")

    def without_cohorts(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """All but the descriptions of cohorts: those that are asked for stand under their roles."""
        described = cohorts(self._files)
        return {name: value for name, value in parameters.items() if name not in described}

    def where(self, kind: str, name: str) -> str:
        """Place of an entry, by its dotted name (`my_clinic.fields[0].column`); "" where it isn't found."""
        path = [int(part) if part.isdecimal() else part for part in re.split(r"[.\[\]]+", name.rstrip("]"))]
        return self._places(kind).find(path)

    def _places(self, *kinds: str) -> Places:
        runtime_params = self._runtime_params if "parameters" in kinds else {}
        return Places([file for file in self._files if file.kind in kinds], runtime_params)


def _text_slips(files: Sequence[ConfFile]) -> list[Slip]:
    blocks = [(file, block) for file, _, block in cohorts(files).values()]
    for file in files:
        for key, role in file.entries if file.kind == "parameters" else ():
            if key.value in ROLES and isinstance(role.value, list):
                blocks += [(file, value) for name, value in role.value if name.value == "cohort"]
    return [Slip(file.name, *found) for file, block in blocks for found in cohort_slips(block)]


def _require_cohort(conf: Path, env: str, files: Sequence[ConfFile], name: str, place: str) -> None:
    known = sorted(cohorts(files))
    if not place or "${" in name or name in known:
        return
    if name in {key.value for file in files if file.kind == "parameters" for key, _ in file.entries}:
        raise ValueError(f"{place}: `{name}` is no cohort: a cohort names the column `image_id`")
    where = _described(conf, env, name) or (
        f"Known: {', '.join(known)}. Each cohort has a YAML file in {conf.name}/base/parameters/cohorts; its "
        "top-level key is the cohort's name."
    )
    raise ValueError(f"{place}: there is no cohort '{name}'.{close_to(name, known)} {where}")


def _described(conf: Path, env: str, name: str) -> str:
    """Where a cohort is described in a file that isn't read."""
    top_level = re.compile(rf"^[\"']?{re.escape(name)}[\"']?\s*:", re.MULTILINE)
    for path in sorted(path for path in conf.rglob("*") if path.is_file() and not path.name.startswith(".")):
        if top_level.search(path.read_text(encoding="utf-8", errors="replace")):
            shown, folder = f"{conf.name}/{path.relative_to(conf)}", path.relative_to(conf).parts[0]
            if path.suffix not in (".yml", ".yaml", ".json"):
                why = "its name has to end in .yml"
            elif folder not in ("base", env):
                why = f"with --env={env} it isn't" if folder == "local" else f"it is with --env={folder} alone"
            else:
                why = "it lies outside `parameters`, or the cohort has no `image_id`"
            return f"{shown} describes it and isn't read: {why}. Its place is {conf.name}/base/parameters/cohorts."
    return ""
