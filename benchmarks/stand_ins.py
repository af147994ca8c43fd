"""What `gpu.sh` does without, where it isn't installed: settings unchecked, and libraries of files it doesn't read."""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from unittest.mock import MagicMock

UNUSED = ("h5py", "imagehash", "openpyxl", "pandera", "filelock")  # imported on the way, and never called here


def stand_in() -> list[str]:
    """Put something in the place of what is absent; returns its names."""
    absent = [name for name in (*UNUSED, *REPLACED) if not _is_there(name)]
    for name in absent:
        sys.modules.pop(name, None)
    for name in REPLACED.keys() & absent:
        sys.modules[name] = REPLACED[name]()
    sys.meta_path.insert(0, Unused(absent))
    return absent


def _is_there(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


class Unused(MetaPathFinder, Loader):
    """Finds modules of given packages, which hold whatever is asked of them and do nothing."""

    def __init__(self, packages: list[str]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in self.packages else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = lambda name: MagicMock(name=name)  # type: ignore[method-assign]


class Settings:
    """Holds what it is given, and defaults for the rest; checks nothing."""

    def __init__(self, **values: object) -> None:
        for kind in reversed(type(self).__mro__):
            for name in vars(kind).get("__annotations__", {}):
                if name in vars(kind):
                    setattr(self, name, vars(kind)[name])
        vars(self).update(values)

    def model_copy(self, update: dict) -> "Settings":
        """Another with some values changed."""
        return type(self)(**(vars(self) | update))


def _unchecked_settings() -> ModuleType:
    module = ModuleType("pydantic")
    unchecked = lambda *_, **__: lambda method: method  # noqa: E731
    vars(module).update(
        BaseModel=Settings,
        ConfigDict=dict,
        Field=lambda default=None, **_: default,
        TypeAdapter=None,  # asked for settings that a search names
        ValidationError=ValueError,
        BeforeValidator=lambda _: None,
        AfterValidator=lambda _: None,
        field_validator=unchecked,
        model_validator=unchecked,
    )
    return module


def _no_decoder() -> ModuleType:
    """What takes no JPEG, so that torchvision decodes it."""

    def decode_jpeg(*_: object) -> None:
        raise ValueError

    module = ModuleType("simplejpeg")
    module.decode_jpeg = decode_jpeg  # type: ignore[attr-defined]
    return module


REPLACED = {"pydantic": _unchecked_settings, "simplejpeg": _no_decoder}
