"""Kedro datasets: how artifacts are stored. Every write is atomic."""

from slimp_pipeline.datasets.arrays import ArraysDataset
from slimp_pipeline.datasets.atomic import AtomicDataset
from slimp_pipeline.datasets.checkpoints import CheckpointsDataset
from slimp_pipeline.datasets.csv_table import CSVTableDataset
from slimp_pipeline.datasets.export import ExportDataset
from slimp_pipeline.datasets.files import FilesDataset
from slimp_pipeline.datasets.image_store import ImageStoreDataset
from slimp_pipeline.datasets.parts import PartsDataset
from slimp_pipeline.datasets.versions import VersionsDataset

__all__ = [
    "ArraysDataset",
    "AtomicDataset",
    "CSVTableDataset",
    "CheckpointsDataset",
    "ExportDataset",
    "FilesDataset",
    "ImageStoreDataset",
    "PartsDataset",
    "VersionsDataset",
]
