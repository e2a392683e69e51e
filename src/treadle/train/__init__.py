"""Training: jobs made of recipes, which outlive whoever started them."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.train.executor import JOBS_ABREAST as JOBS_ABREAST
    from treadle.train.executor import Executor as Executor
    from treadle.train.keeping import KeptByTraining as KeptByTraining
    from treadle.train.local import LocalExecutor as LocalExecutor
    from treadle.train.rules import run_input as run_input
    from treadle.train.service import Trainer as Trainer
    from treadle.train.types import CodeFile as CodeFile
    from treadle.train.types import CodeVersion as CodeVersion
    from treadle.train.types import Environment as Environment
    from treadle.train.types import JobContext as JobContext
    from treadle.train.types import JobResult as JobResult
    from treadle.train.types import JobSpec as JobSpec
    from treadle.train.types import Package as Package
    from treadle.train.types import Recipe as Recipe
    from treadle.train.types import Training as Training

__getattr__, __all__ = attach(
    __name__,
    {
        "KeptByTraining": "keeping",
        "CodeFile": "types",
        "CodeVersion": "types",
        "Environment": "types",
        "Executor": "executor",
        "JOBS_ABREAST": "executor",
        "JobContext": "types",
        "JobResult": "types",
        "JobSpec": "types",
        "LocalExecutor": "local",
        "Package": "types",
        "Recipe": "types",
        "Trainer": "service",
        "Training": "types",
        "run_input": "rules",
    },
)
