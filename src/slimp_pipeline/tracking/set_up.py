"""Setting MLflow up for a project: the store that conf/<env>/mlflow.yml names is made or checked, by one at a time."""

import logging
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
from slimp_pipeline.tracking.server import require_answer, why_away
from slimp_pipeline.tracking.store import Store

logger = logging.getLogger(__name__)
_ADDRESS = "MLFLOW_TRACKING_URI"
_RETRIES = "2"  # by its default MLflow would keep a run for minutes at every note


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
    store = _answering(
        Store.named(server.get("mlflow_tracking_uri") or os.environ.get(_ADDRESS), project),
        server.pop("if_away", "stop"),
        project,
    )
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


def _answering(store: Store, if_away: str, project: Path) -> Store:
    """The store, or the project's own where it is a server that is away and the settings let the run go on."""
    if if_away not in ("stop", "go_on"):
        raise ValueError(f"server.if_away of conf/<env>/mlflow.yml is '{if_away}': it is either stop or go_on")
    if not store.uri.startswith("http"):
        return store
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
    if if_away == "stop":
        require_answer(store.uri)
    elif why := why_away(store.uri):
        own = Store.named(None, project)
        logger.warning(
            "The MLflow server %s isn't there (%s): runs are noted in the project instead, and results are kept as "
            "ever. To see them: %s",
            store.how_to_look(), why, own.how_to_look(),
        )  # fmt: skip
        return own
    return store


@contextmanager
def _ready(store: Store) -> Iterator[None]:
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
