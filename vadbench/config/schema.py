"""Every key of the configuration, its type and its bounds. Values live in conf/*.yaml, types live here.

This module knows nothing of Hydra: it turns a plain mapping into a checked :class:`RunConfig`, and collects everything
that is wrong into one message.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from vadbench.config.ai_vad_keys import AiVadConfig, AttributeDensityConfig, FlowConfig, RegionsConfig
from vadbench.config.protocol_keys import DropStep as DropStep
from vadbench.config.protocol_keys import GaussianStep as GaussianStep
from vadbench.config.protocol_keys import GaussianTapsStep as GaussianTapsStep
from vadbench.config.protocol_keys import MedianStep as MedianStep
from vadbench.config.protocol_keys import MinMaxStep as MinMaxStep
from vadbench.config.protocol_keys import OracleGaussianStep as OracleGaussianStep
from vadbench.config.protocol_keys import ProtocolConfig as ProtocolConfig
from vadbench.config.protocol_keys import SubsampleStep as SubsampleStep
from vadbench.config.schema_errors import describe
from vadbench.errors import ConfigError

_STRICT = ConfigDict(extra="forbid", validate_default=True)

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Place = Annotated[str, AfterValidator(os.path.expanduser)]  # a file, a folder or a URL; ~ is the user's home
Triple = tuple[float, float, float]
Ids = list[Annotated[str, BeforeValidator(str)]]  # ids of videos; a bare number is one too


@dataclass(config=_STRICT)
class FuvasConfig:
    """FUVAS (conf/model/fuvas.yaml)."""

    name: Literal["fuvas"]
    layer: str | None  # None: the backbone's default layer
    pca_level: Annotated[float, Field(gt=0)]  # at most 1: share of variance; above: number of components
    spatial_pool: bool
    pooling_kernel_size: Positive
    target_frame: Literal["first", "mid", "last", "all"]
    fill: Literal["nearest", "linear", "hold"]
    score_reduction: Literal["sum", "mean", "max"]
    short_videos: Literal["error", "pad"]
    shots: Positive | None  # number of training clips, drawn with the seed; None: all
    pre_processor: bool
    post_processor: bool
    evaluator: bool
    visualizer: bool
    heatmap_frames: Annotated[int, Field(ge=0)]  # frames with heat maps drawn for each test video

    @field_validator("pca_level")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("must be a share of variance in (0, 1] or a whole number of components above 1")
        return value


@dataclass(config=_STRICT)
class BaselineConfig:
    """A method that learns nothing (conf/model/{random,position,frame_difference,flow_percentile}.yaml)."""

    name: Literal["random", "position", "frame_difference", "flow_percentile"]
    post_processor: bool
    evaluator: bool
    visualizer: bool


@dataclass(config=_STRICT)
class BackboneConfig:
    """A frozen network or filter bank and how clips are cut for it (conf/backbone/*.yaml)."""

    name: str
    layer: str  # default layer, taken where model.layer is null
    weights: str | None  # pretrained, random, or a path to a checkpoint; None for filter banks, which have none
    clip_length: Positive
    frame_step: Positive
    clip_stride: Positive
    size: tuple[Positive, Positive] | None  # (height, width) that frames are resized to; None: as they are
    mean: Triple | None
    std: Triple | None
    precision: Literal["float32", "bfloat16"]
    options: dict[str, float | int | str | bool]  # settings of a filter bank, such as the grid's cell size
    resize: Literal["area_or_linear", "antialiased", "linear"] = "area_or_linear"  # absent in older records


@dataclass(config=_STRICT)
class PcaConfig:
    """Principal components (conf/density/pca.yaml)."""

    name: Literal["pca"]
    components: Literal["enough", "one_fewer"]  # one_fewer: what anomalib does, for comparison


@dataclass(config=_STRICT)
class DatasetConfig:
    """What every data set has (conf/dataset/*.yaml)."""

    name: str
    root: str | None  # folder of the data set, or one above it
    masks_root: str | None  # where labels and masks are, if not under root
    on_fault: Literal["error", "skip"]  # a damaged frame: stop, or repeat the good one before it and record that
    train_videos: Ids | None  # ids or globs such as 0*; None: all
    test_videos: Ids | None
    max_frames: Positive | None  # of each video, for a quick look; None: all
    max_pixels: Positive  # bound on the pixels of one frame
    max_video_frames: Positive  # bound on the frames of one video


@dataclass(config=_STRICT)
class UcsdConfig(DatasetConfig):
    """UCSD Ped1, Ped2 (conf/dataset/ucsd_ped1.yaml, ucsd_ped2.yaml)."""

    name: Literal["ucsd_ped1", "ucsd_ped2"]


@dataclass(config=_STRICT)
class AvenueConfig(DatasetConfig):
    """CUHK Avenue, whole or without five clips (conf/dataset/avenue.yaml, avenue17.yaml)."""

    name: Literal["avenue", "avenue17"]


@dataclass(config=_STRICT)
class ShanghaiTechConfig(DatasetConfig):
    """ShanghaiTech Campus (conf/dataset/shanghaitech.yaml)."""

    name: Literal["shanghaitech"]
    scenes: list[Positive] | None  # numbers of the scenes to load, for training and testing; None: all


@dataclass(config=_STRICT)
class SyntheticConfig(DatasetConfig):
    """The made data set (conf/dataset/synthetic.yaml)."""

    name: Literal["synthetic"]
    seed: Annotated[int, Field(ge=0)]  # of scene, people and anomalies
    n_train: Positive
    n_test: Positive
    n_frames: Annotated[int, Field(ge=24)]
    size: tuple[Annotated[int, Field(ge=48)], Annotated[int, Field(ge=64)]]  # height, width
    noise: Annotated[float, Field(ge=0, le=50)]  # standard deviation in grey levels


@dataclass(config=_STRICT)
class FolderConfig(DatasetConfig):
    """A folder of your own (conf/dataset/folder.yaml)."""

    name: Literal["folder"]
    labels: str | None  # frame labels, if not found beside train and test: a file, or a folder with one for each video
    intervals: Literal["from_0_half_open", "from_1_inclusive"]  # how start and end of an interval are meant
    # A test video that a table of intervals or boxes has no row of: not evaluated, or normal throughout.
    unlisted: Literal["unknown", "normal"] = "unknown"


AnyDataset = Annotated[
    UcsdConfig | AvenueConfig | ShanghaiTechConfig | SyntheticConfig | FolderConfig, Field(discriminator="name")
]


@dataclass(config=_STRICT)
class RuntimeConfig:
    """Where and how fast; nothing here may change a result (conf/runtime/*.yaml)."""

    device: str  # auto, cpu, cuda, cuda:1
    batch_size: Positive
    threads: Positive | None
    progress: Literal["auto", "on", "off"]


@dataclass(config=_STRICT)
class TrackingConfig:
    """Where runs are mirrored (conf/tracking/*.yaml)."""

    name: Literal["mlflow", "none"]
    uri: str | None  # None: as MLFLOW_TRACKING_URI says, else SQLite under results/tracking
    experiment: str | None = None  # None: the name of the data set
    run_name: str | None = None  # of a run, or of a sweep as a whole; None: made of its settings


@dataclass(config=_STRICT)
class StoreConfig:
    """The feature store."""

    path: Place | None  # folder or fsspec URL; None: results/cache
    dtype: Literal["float32", "float16"]
    max_gb: Annotated[float, Field(gt=0)] | None = None  # bound of its size, unused for longest goes first; None: none
    local: Place | None = None  # local copy of a URL; None: in the user's cache folder


@dataclass(config=_STRICT)
class LocalLauncher:
    """Processes on this machine (conf/launcher/local.yaml)."""

    name: Literal["local"]
    jobs: Positive | None  # processes at once; None: one for each GPU slot, or one where there is no GPU
    jobs_per_gpu: Positive  # processes that may share a GPU


@dataclass(config=_STRICT)
class SlurmLauncher:
    """A Slurm array by submitit (conf/launcher/slurm.yaml)."""

    name: Literal["slurm"]
    jobs: Positive  # tasks of the array
    gpus_per_job: Annotated[int, Field(ge=0)]
    cpus_per_job: Positive
    mem_gb: Positive
    minutes: Positive  # time limit of a task; a task that is preempted or timed out is queued again and resumes
    partition: str | None
    account: str | None
    cluster: Literal["slurm", "local"]  # local: submitit's own processes on this machine, to try things out
    options: dict[str, str | int]  # further sbatch options by their long names, such as {constraint: a100}


@dataclass(config=_STRICT)
class RayLauncher:
    """Tasks on a Ray cluster (conf/launcher/ray.yaml)."""

    name: Literal["ray"]
    jobs: Positive  # tasks at once
    address: str | None  # of a running cluster, or auto; None: a cluster of its own on this machine
    cpus_per_job: Annotated[float, Field(gt=0)]
    gpus_per_job: Annotated[float, Field(ge=0)]  # 0.5: two tasks share a GPU


@dataclass(config=_STRICT)
class RunConfig:
    """One run."""

    model: Annotated[FuvasConfig | AiVadConfig | BaselineConfig, Field(discriminator="name")]
    dataset: Annotated[AnyDataset, Field(discriminator="name")]
    protocol: ProtocolConfig
    runtime: RuntimeConfig
    tracking: TrackingConfig
    store: StoreConfig
    seed: Annotated[int, Field(ge=0)]
    results: Place
    on_existing: Literal["skip", "rerun", "error"]
    regions_from_maps: bool
    backbone: BackboneConfig | None = None
    density: Annotated[PcaConfig | AttributeDensityConfig, Field(discriminator="name")] | None = None
    regions: RegionsConfig | None = None
    flow: FlowConfig | None = None
    launcher: Annotated[LocalLauncher | SlurmLauncher | RayLauncher | None, Field(discriminator="name")] = None


_RUN = TypeAdapter(RunConfig)


def check(values: Mapping[str, Any]) -> RunConfig:
    """The typed configuration of ``values``; ConfigError that lists everything that is wrong with it."""
    try:
        return _RUN.validate_python(dict(values))
    except ValidationError as error:
        raise ConfigError("\n".join(describe(error.errors(), values))) from None
