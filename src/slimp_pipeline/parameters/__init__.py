"""Settings of every pipeline: one frozen model per block of `conf/<env>/parameters_*.yml`.

A misspelt or unknown setting of any block is refused by name when a run starts, before any work is done.
"""

from slimp_pipeline.parameters.block import Block, Device, Share
from slimp_pipeline.parameters.cohort import DownloadParams, FeatureParams, IngestParams
from slimp_pipeline.parameters.evaluation import (
    ControlParams,
    EvaluationParams,
    ExtrapolationParams,
    FeatureSet,
    FineTuningParams,
    ImportanceParams,
    InspectionParams,
    LowShotParams,
    ProbeParams,
    Protocol,
    RetrievalParams,
    RobustnessParams,
    SaliencyParams,
    SubgroupParams,
    Unit,
)
from slimp_pipeline.parameters.handover import EmbeddingParams, ExportParams, PictureFormat, ReportParams
from slimp_pipeline.parameters.model import ImageEncoderParams, MetadataEncoderParams, ModelParams, Pooling
from slimp_pipeline.parameters.runs import ComparisonParams, PruneParams, StudyParams, VariantParams
from slimp_pipeline.parameters.search import RangeParams, SearchParams
from slimp_pipeline.parameters.training import (
    CHANGES_NOTHING_LEARNT,
    AdaptationParams,
    AugmentationParams,
    LossParams,
    Objective,
    SamplerParams,
    TrainingParams,
)

__all__ = [
    "BLOCKS",
    "CHANGES_NOTHING_LEARNT",
    "AdaptationParams",
    "AugmentationParams",
    "Block",
    "ComparisonParams",
    "ControlParams",
    "Device",
    "DownloadParams",
    "EmbeddingParams",
    "EvaluationParams",
    "ExportParams",
    "ExtrapolationParams",
    "FeatureParams",
    "FeatureSet",
    "FineTuningParams",
    "ImageEncoderParams",
    "ImportanceParams",
    "IngestParams",
    "InspectionParams",
    "LossParams",
    "LowShotParams",
    "MetadataEncoderParams",
    "ModelParams",
    "Objective",
    "PictureFormat",
    "Pooling",
    "ProbeParams",
    "Protocol",
    "PruneParams",
    "RangeParams",
    "ReportParams",
    "RetrievalParams",
    "RobustnessParams",
    "SaliencyParams",
    "SamplerParams",
    "SearchParams",
    "Share",
    "StudyParams",
    "SubgroupParams",
    "TrainingParams",
    "Unit",
    "VariantParams",
]

BLOCKS: dict[str, type[Block]] = {
    "download": DownloadParams,
    "ingest": IngestParams,
    "features": FeatureParams,
    "model": ModelParams,
    "training": TrainingParams,
    "adaptation": AdaptationParams,
    "extrapolation": ExtrapolationParams,
    "evaluation": EvaluationParams,
    "inspection": InspectionParams,
    "comparison": ComparisonParams,
    "study": StudyParams,
    "search": SearchParams,
    "export": ExportParams,
    "embedding": EmbeddingParams,
    "report": ReportParams,
    "prune": PruneParams,
}
