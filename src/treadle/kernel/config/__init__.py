"""``treadle.toml``: the one file that says what a project is and what its loop may do."""

from treadle.kernel.config.behaviour import (
    BehaviourCheck,
    EarlyStop,
    PassK,
    ScorerConfig,
    TargetConfig,
)
from treadle.kernel.config.checks import (
    AlsoCheck,
    BiasCheck,
    ChecksConfig,
    DataCheck,
    GroupCheck,
    PerformanceCheck,
    PredictionsConfig,
    SliceCheck,
)
from treadle.kernel.config.load import find_project, load_config, parse_config
from treadle.kernel.config.schema import (
    Budget,
    Config,
    DatasetConfig,
    MonitorConfig,
    Project,
    RegistryConfig,
    RemoteConfig,
    RetrainConfig,
    ServeConfig,
    Store,
    TrainConfig,
)

__all__ = [
    "AlsoCheck",
    "BehaviourCheck",
    "BiasCheck",
    "Budget",
    "ChecksConfig",
    "Config",
    "DataCheck",
    "DatasetConfig",
    "EarlyStop",
    "GroupCheck",
    "MonitorConfig",
    "PassK",
    "PerformanceCheck",
    "PredictionsConfig",
    "Project",
    "RegistryConfig",
    "RemoteConfig",
    "RetrainConfig",
    "ScorerConfig",
    "ServeConfig",
    "SliceCheck",
    "Store",
    "TargetConfig",
    "TrainConfig",
    "find_project",
    "load_config",
    "parse_config",
]
