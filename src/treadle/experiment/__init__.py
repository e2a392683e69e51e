"""Runs: what was tried, with which parameters, and how it went."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.experiment.comparing import REPEATABILITY as REPEATABILITY
    from treadle.experiment.comparing import within_noise as within_noise
    from treadle.experiment.comparison import CodeDiff as CodeDiff
    from treadle.experiment.comparison import Comparison as Comparison
    from treadle.experiment.comparison import FileDiff as FileDiff
    from treadle.experiment.comparison import Importance as Importance
    from treadle.experiment.comparison import InputDiff as InputDiff
    from treadle.experiment.comparison import ParamImportance as ParamImportance
    from treadle.experiment.comparison import RunCurve as RunCurve
    from treadle.experiment.comparison import SharedCurves as SharedCurves
    from treadle.experiment.comparisons import Comparisons as Comparisons
    from treadle.experiment.deleting import Deleted as Deleted
    from treadle.experiment.deleting import count_beside as count_beside
    from treadle.experiment.deleting import deleted_experiments as deleted_experiments
    from treadle.experiment.deleting import deleted_models as deleted_models
    from treadle.experiment.deleting import deleted_runs as deleted_runs
    from treadle.experiment.deleting import erase_experiment as erase_experiment
    from treadle.experiment.deleting import erase_models as erase_models
    from treadle.experiment.deleting import erase_runs as erase_runs
    from treadle.experiment.deleting import inside as inside
    from treadle.experiment.display import runs_html as runs_html
    from treadle.experiment.files import MOST_PARTS as MOST_PARTS
    from treadle.experiment.files import Files as Files
    from treadle.experiment.folder import JournalReader as JournalReader
    from treadle.experiment.folder import RunFolder as RunFolder
    from treadle.experiment.folder import encode_line as encode_line
    from treadle.experiment.history import evenly as evenly
    from treadle.experiment.history import page_of as page_of
    from treadle.experiment.imports import Imports as Imports
    from treadle.experiment.keeping import KeptByRuns as KeptByRuns
    from treadle.experiment.keeping import active_runs as active_runs
    from treadle.experiment.keeping import data_uses as data_uses
    from treadle.experiment.layout import Place as Place
    from treadle.experiment.layout import target as target
    from treadle.experiment.limits import check_key as check_key
    from treadle.experiment.limits import check_moment as check_moment
    from treadle.experiment.logged_models import LoggedModels as LoggedModels
    from treadle.experiment.logged_models import find_logged_model as find_logged_model
    from treadle.experiment.logged_models import tag_logged_model as tag_logged_model
    from treadle.experiment.logged_models import whole_milliseconds as whole_milliseconds
    from treadle.experiment.logged_types import DatasetFilter as DatasetFilter
    from treadle.experiment.logged_types import LoggedModel as LoggedModel
    from treadle.experiment.logged_types import LoggedStatus as LoggedStatus
    from treadle.experiment.logged_types import ModelMetric as ModelMetric
    from treadle.experiment.rules import check_artifact_path as check_artifact_path
    from treadle.experiment.rules import check_input as check_input
    from treadle.experiment.rules import check_name as check_name
    from treadle.experiment.rules import check_params as check_params
    from treadle.experiment.rules import check_run as check_run
    from treadle.experiment.rules import check_tags as check_tags
    from treadle.experiment.rules import joined as joined
    from treadle.experiment.series import Curve as Curve
    from treadle.experiment.service import Experiments as Experiments
    from treadle.experiment.sql_door import Answered as Answered
    from treadle.experiment.sql_door import SqlDoor as SqlDoor
    from treadle.experiment.sql_types import SqlColumn as SqlColumn
    from treadle.experiment.sql_types import SqlEnd as SqlEnd
    from treadle.experiment.sql_types import SqlPiece as SqlPiece
    from treadle.experiment.sql_types import SqlQuery as SqlQuery
    from treadle.experiment.sql_types import SqlTable as SqlTable
    from treadle.experiment.store import text_of as text_of
    from treadle.experiment.told import tags_of as tags_of
    from treadle.experiment.tracking import Tracking as Tracking
    from treadle.experiment.tracking import to_datetime as to_datetime
    from treadle.experiment.transfer import Hasher as Hasher
    from treadle.experiment.transfer import model_tally as model_tally
    from treadle.experiment.transfer import pack_curve as pack_curve
    from treadle.experiment.transfer import run_tally as run_tally
    from treadle.experiment.transfer_types import Check as Check
    from treadle.experiment.transfer_types import Checked as Checked
    from treadle.experiment.transfer_types import CopyKind as CopyKind
    from treadle.experiment.transfer_types import CurveCopy as CurveCopy
    from treadle.experiment.transfer_types import ExperimentCopy as ExperimentCopy
    from treadle.experiment.transfer_types import Imported as Imported
    from treadle.experiment.transfer_types import ImportedRuns as ImportedRuns
    from treadle.experiment.transfer_types import ImportModel as ImportModel
    from treadle.experiment.transfer_types import ImportRun as ImportRun
    from treadle.experiment.transfer_types import ImportRuns as ImportRuns
    from treadle.experiment.transfer_types import NotImported as NotImported
    from treadle.experiment.transfer_types import RunCopy as RunCopy
    from treadle.experiment.transfer_types import Tally as Tally
    from treadle.experiment.types import Artifact as Artifact
    from treadle.experiment.types import Finish as Finish
    from treadle.experiment.types import JournalBatch as JournalBatch
    from treadle.experiment.types import LogArtifact as LogArtifact
    from treadle.experiment.types import LogInput as LogInput
    from treadle.experiment.types import LogMetrics as LogMetrics
    from treadle.experiment.types import LogParams as LogParams
    from treadle.experiment.types import LogProvenance as LogProvenance
    from treadle.experiment.types import LogTags as LogTags
    from treadle.experiment.types import Media as Media
    from treadle.experiment.types import MediaInfo as MediaInfo
    from treadle.experiment.types import NewRun as NewRun
    from treadle.experiment.types import Point as Point
    from treadle.experiment.types import Provenance as Provenance
    from treadle.experiment.types import Record as Record
    from treadle.experiment.types import Run as Run
    from treadle.experiment.types import RunInput as RunInput
    from treadle.experiment.writer import MetricWriter as MetricWriter
    from treadle.experiment.writes import Write as Write

__getattr__, __all__ = attach(
    __name__,
    {
        "Answered": "sql_door",
        "KeptByRuns": "keeping",
        "Deleted": "deleting",
        "active_runs": "keeping",
        "data_uses": "keeping",
        "count_beside": "deleting",
        "deleted_experiments": "deleting",
        "deleted_models": "deleting",
        "deleted_runs": "deleting",
        "erase_experiment": "deleting",
        "erase_models": "deleting",
        "erase_runs": "deleting",
        "inside": "deleting",
        "Artifact": "types",
        "CodeDiff": "comparison",
        "Comparison": "comparison",
        "Comparisons": "comparisons",
        "Imports": "imports",
        "Check": "transfer_types",
        "Checked": "transfer_types",
        "CopyKind": "transfer_types",
        "CurveCopy": "transfer_types",
        "ExperimentCopy": "transfer_types",
        "Imported": "transfer_types",
        "ImportModel": "transfer_types",
        "ImportRun": "transfer_types",
        "ImportRuns": "transfer_types",
        "ImportedRuns": "transfer_types",
        "NotImported": "transfer_types",
        "RunCopy": "transfer_types",
        "Tally": "transfer_types",
        "Hasher": "transfer",
        "model_tally": "transfer",
        "pack_curve": "transfer",
        "run_tally": "transfer",
        "Curve": "series",
        "DatasetFilter": "logged_types",
        "Experiments": "service",
        "FileDiff": "comparison",
        "Files": "files",
        "Finish": "types",
        "Importance": "comparison",
        "InputDiff": "comparison",
        "JournalBatch": "types",
        "JournalReader": "folder",
        "LogArtifact": "types",
        "LogInput": "types",
        "LogMetrics": "types",
        "LogParams": "types",
        "LogProvenance": "types",
        "LogTags": "types",
        "LoggedModel": "logged_types",
        "LoggedModels": "logged_models",
        "LoggedStatus": "logged_types",
        "MOST_PARTS": "files",
        "Media": "types",
        "MediaInfo": "types",
        "MetricWriter": "writer",
        "ModelMetric": "logged_types",
        "NewRun": "types",
        "ParamImportance": "comparison",
        "Place": "layout",
        "Point": "types",
        "Provenance": "types",
        "REPEATABILITY": "comparing",
        "Record": "types",
        "Run": "types",
        "RunCurve": "comparison",
        "RunFolder": "folder",
        "RunInput": "types",
        "SharedCurves": "comparison",
        "SqlColumn": "sql_types",
        "SqlDoor": "sql_door",
        "SqlEnd": "sql_types",
        "SqlPiece": "sql_types",
        "SqlQuery": "sql_types",
        "SqlTable": "sql_types",
        "Tracking": "tracking",
        "Write": "writes",
        "check_artifact_path": "rules",
        "check_input": "rules",
        "check_key": "limits",
        "check_moment": "limits",
        "check_name": "rules",
        "check_params": "rules",
        "check_run": "rules",
        "check_tags": "rules",
        "encode_line": "folder",
        "evenly": "history",
        "find_logged_model": "logged_models",
        "joined": "rules",
        "page_of": "history",
        "runs_html": "display",
        "tag_logged_model": "logged_models",
        "tags_of": "told",
        "target": "layout",
        "text_of": "store",
        "to_datetime": "tracking",
        "whole_milliseconds": "logged_models",
        "within_noise": "comparing",
    },
)
