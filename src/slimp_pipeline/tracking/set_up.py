"""Setting MLflow up for a project: the store that conf/<env>/mlflow.yml names is made or checked, by one at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import mlflow
from kedro.config import AbstractConfigLoader, MissingConfigException, OmegaConfigLoader
from mlflow.exceptions import MlflowException

from slimp_pipeline.processes.whole import held
from slimp_pipeline.tracking.database import create_database, is_there, require_usable
from slimp_pipeline.tracking.places import bring_home
from slimp_pipeline.tracking.server import require_answer
from slimp_pipeline.tracking.store import Store

_ADDRESS = "MLFLOW_TRACKING_URI"


@contextmanager
def set_up(loader: AbstractConfigLoader, project: Path, package: str) -> Iterator[None]:
    """Prepare the store for kedro-mlflow, which reads its settings from the loader, meanwhile.

    Two processes that made or migrated one database at once would break it: a lock lets the second wait.

    Args:
        loader: Of the configuration; its `mlflow` is completed.
        project: The project's folder.
        package: Name of the experiment where the settings have none.

    Raises:
        OSError: If the store isn't there, or can't be read or written.
        ValueError: If it can't be used; says what mends it.
    """
    if mlflow.active_run():  # the caller's own, in a store of the caller's
        yield
        return
    settings = _settings(loader)
    server = _block(settings, "server")
    store = Store.named(server.get("mlflow_tracking_uri") or os.environ.get(_ADDRESS), project)
    server["mlflow_tracking_uri"] = store.uri
    if store.artifacts:
        experiment = _block(_block(settings, "tracking"), "experiment")
        own = store.artifacts / quote(experiment.get("name") or package, safe="")
        _block(experiment, "create_experiment_kwargs").setdefault("artifact_location", own.as_uri())
    loader["mlflow"] = settings
    with _environment_kept(), _ready(store):
        try:
            yield
        except MlflowException as error:
            raise ValueError(f"MLflow can't use its store {store.how_to_look()}: {error}") from error


@contextmanager
def _ready(store: Store) -> Iterator[None]:
    if store.uri.startswith("http"):
        require_answer(store.uri)
    if not (store.database and store.artifacts):
        yield
        return
    if is_there(store.database):
        require_usable(store.database)
    with held(store.database.with_name(f".{store.database.name}.lock"), "setting MLflow up"):
        if not is_there(store.database):
            create_database(store.database, store.artifacts)
        bring_home(store.database, store.artifacts)
        yield


@contextmanager
def _environment_kept() -> Iterator[None]:
    """MLflow puts the address into the environment, where the next project of this process would take it for a wish."""
    before = os.environ.get(_ADDRESS)
    try:
        yield
    finally:
        os.environ.pop(_ADDRESS, None)
        if before is not None:
            os.environ[_ADDRESS] = before


def _settings(loader: AbstractConfigLoader) -> dict[str, Any]:
    cast(OmegaConfigLoader, loader).config_patterns.setdefault("mlflow", ["mlflow*", "mlflow*/**", "**/mlflow*"])
    try:
        return dict(loader["mlflow"])
    except MissingConfigException:
        return {}


def _block(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """A block of settings, made where there is none or an empty one."""
    settings[name] = dict(settings.get(name) or {})
    return cast(dict[str, Any], settings[name])
