"""What settings, which may come from anywhere, can say of a timm architecture: its name, and plain arguments."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator

_TIMM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*")
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_.,+ -]{0,40}")  # no path, no address
_NOT_ARCHITECTURE = frozenset(
    {"model_name", "checkpoint_path", "cache_dir", "scriptable", "exportable", "no_jit", "kwargs"}
    | {"model_cls", "variant", "model_cfg", "feature_cfg", "kwargs_filter", "features_only", "pruned"}
    | {"num_classes", "device", "dtype"}
)  # what timm's builders take beside, and what this pipeline sets itself


def _stands_in_a_registry(name: str) -> str:
    if not _TIMM_NAME.fullmatch(name):
        raise ValueError(
            "only names of timm's registry (letters, digits, `_`, `.`) are allowed: no hub, no address, no path. "
            "Where first weights come from is `weights`"
        )
    return name


def _are_the_architectures(arguments: dict[str, Any]) -> dict[str, Any]:
    for name, value in arguments.items():
        if name in _NOT_ARCHITECTURE or name.startswith("pretrained"):
            raise ValueError(f"'{name}' is no argument of the architecture; only those are allowed")
        if not _is_plain(value):
            raise ValueError(f"'{name}' must be a number, true, false, null, a short word, or a list of these")
    return arguments


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return _PLAIN_TEXT.fullmatch(value) is not None
    return value is None or isinstance(value, bool | int | float)


TimmName = Annotated[str, AfterValidator(_stands_in_a_registry)]  # in timm's registry
PlainArguments = Annotated[dict[str, Any], AfterValidator(_are_the_architectures)]
