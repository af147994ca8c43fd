"""The console: a line per finished node; at the end what was found, and where it is."""

import logging
import time
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from slimp_pipeline.evaluation.audits.controls import CONTROL_COLUMNS
from slimp_pipeline.hooks.tracking import path_of, written_by
from slimp_pipeline.parameters import FeatureParams
from slimp_pipeline.reporting.findings.summary import (
    comparison_lines,
    embedding_lines,
    extrapolation_lines,
    search_lines,
    summary_lines,
    suspects_lines,
)
from slimp_pipeline.tracking.store import Store

logger = logging.getLogger(__name__)
_PLACES = (
    ("Report", "report_page"),
    ("Results", "results"),
    ("Encoders", "encoders"),
    ("Export", "exported_model"),
)
_EMBEDDED = (
    ("Pictures", "picture_embeddings"),
    ("Lesions", "lesion_embeddings"),
    ("Ledger", "picture_ledger"),
    ("Hand in", "challenge_files"),
)


class ConsoleHooks:
    """One line per finished node, with its time; at the end what was found, and where it is."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Note the time."""
        self._started[node.name] = time.perf_counter()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Say what was done, once its last artifact is saved: images are packed while they are written."""
        if dataset_name == node.outputs[-1]:
            logger.info("%-42s %6.1f s", node.name, time.perf_counter() - self._started[node.name])

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Say what was found, and where to look."""
        written = written_by(pipeline)
        if "comparison_page" in written:
            compared = catalog.load("comparison"), catalog.load("comparison_pairs")
            lines = ["", *comparison_lines(*compared, leaks=_leaks(catalog))]
            logger.info("\n".join([*lines, f"Page:     {path_of(catalog, 'comparison_page')}"]))
        if "extrapolation_page" in written:
            lines = ["", *extrapolation_lines(catalog.load("borrowed_quality"), catalog.load("borrowed_worth"))]
            logger.info("\n".join([*lines, f"Page:     {path_of(catalog, 'extrapolation_page')}"]))
        if "suspects_page" in written:
            lines = ["", *suspects_lines(catalog.load("suspects"))]
            logger.info("\n".join([*lines, f"Page:     {path_of(catalog, 'suspects_page')}"]))
        if "chosen_settings" in written:
            lines = ["", *search_lines(catalog.load("chosen_settings"))]
            logger.info("\n".join([*lines, f"Chosen:   {path_of(catalog, 'chosen_settings')}"]))
        if "embedding_summary" in written:
            told = catalog.load("embedding_summary")
            empty = {"lesion_embeddings"} if not told["num_lesions"] else set()
            empty |= {"challenge_files"} if not catalog.load("challenge_files") else set()
            lines = ["", *embedding_lines(told)]
            shown = [(title, name) for title, name in _EMBEDDED if name not in empty]
            logger.info("\n".join([*lines, *(f"{title + ':':<10}{path_of(catalog, name)}" for title, name in shown)]))
        places = [f"{title + ':':<10}{path_of(catalog, name)}" for title, name in _PLACES if name in written]
        if not places:
            return
        found = []
        if "results" in written:
            controls = catalog.load("controls") if "controls" in written else pd.DataFrame(columns=CONTROL_COLUMNS)
            results, differences = catalog.load("results"), catalog.load("differences")
            found = summary_lines(results, differences, controls, leaks=_leaks(catalog))
        runs = Store.named(mlflow.get_tracking_uri(), Path.cwd()).how_to_look()
        logger.info("\n".join(["", *found, *places, f"Runs:     {runs}", "Pipeline: kedro viz run"]))


def _leaks(catalog: DataCatalog) -> bool:
    return bool(FeatureParams.model_validate(catalog.load("params:features")).leaks)
