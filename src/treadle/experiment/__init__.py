"""Runs: what was tried, with which parameters, and how it went."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.experiment.folder import JournalReader as JournalReader
    from treadle.experiment.folder import RunFolder as RunFolder
    from treadle.experiment.folder import encode_line as encode_line
    from treadle.experiment.rules import check_artifact_path as check_artifact_path
    from treadle.experiment.rules import check_name as check_name
    from treadle.experiment.rules import check_params as check_params
    from treadle.experiment.rules import check_run as check_run
    from treadle.experiment.rules import check_tags as check_tags
    from treadle.experiment.service import Experiments as Experiments
    from treadle.experiment.types import Artifact as Artifact
    from treadle.experiment.types import Comparison as Comparison
    from treadle.experiment.types import Finish as Finish
    from treadle.experiment.types import JournalBatch as JournalBatch
    from treadle.experiment.types import LogArtifact as LogArtifact
    from treadle.experiment.types import LogMetrics as LogMetrics
    from treadle.experiment.types import LogParams as LogParams
    from treadle.experiment.types import LogTags as LogTags
    from treadle.experiment.types import NewRun as NewRun
    from treadle.experiment.types import Point as Point
    from treadle.experiment.types import Record as Record
    from treadle.experiment.types import Run as Run

__getattr__, __all__ = attach(
    __name__,
    {
        "Artifact": "types",
        "Comparison": "types",
        "Experiments": "service",
        "Finish": "types",
        "JournalBatch": "types",
        "JournalReader": "folder",
        "LogArtifact": "types",
        "LogMetrics": "types",
        "LogParams": "types",
        "LogTags": "types",
        "NewRun": "types",
        "Point": "types",
        "Record": "types",
        "Run": "types",
        "RunFolder": "folder",
        "check_artifact_path": "rules",
        "check_name": "rules",
        "check_params": "rules",
        "check_run": "rules",
        "check_tags": "rules",
        "encode_line": "folder",
    },
)
