"""Audits fold by fold: what a probe comes to when something about its rows is changed."""

from collections.abc import Callable
from functools import partial

import pandas as pd

from slimp_pipeline.evaluation.measures.measure import Measured, Yardstick, summarise, yardsticks
from slimp_pipeline.evaluation.measures.records import Averaged, summary_draw
from slimp_pipeline.evaluation.parallel import in_parallel
from slimp_pipeline.evaluation.target import TargetCohort
from slimp_pipeline.evaluation.task import Task, make_task
from slimp_pipeline.parameters import EvaluationParams

FoldWork = Callable[[Task, Yardstick], list[Measured]]


def measure_folds(
    work: FoldWork, target: TargetCohort, settings: EvaluationParams, title: str
) -> tuple[pd.DataFrame, Averaged]:
    """Do some work on every fold of a target, side by side.

    Args:
        work: Of a module, or a partial of one; it is given the task and the fold.
        target: Rows, splits.
        settings: Which label, resamples, confidence.
        title: Of the progress bar.

    Returns:
        Results and averaged values as `measure.measure` returns them; of the results the summary draw alone.
    """
    task = make_task(target.rows, target.splits, settings)
    folds = list(yardsticks(task, target.name, settings))
    of_folds = in_parallel(partial(work, task), folds, len(task.rows), settings, title)
    measured = [one for of_fold in of_folds for one in of_fold]
    results, averaged = summarise(target.name, measured, settings.confidence)
    return results[results["draw"] == summary_draw(results)], averaged
