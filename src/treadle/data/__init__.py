"""Datasets: immutable versions of files, and the slices of them that models are made of."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.data.branches.comparing_types import ColumnDiff as ColumnDiff
    from treadle.data.branches.comparing_types import ColumnStats as ColumnStats
    from treadle.data.branches.comparing_types import DataDiff as DataDiff
    from treadle.data.branches.merge_types import Merge as Merge
    from treadle.data.branches.merge_types import Merged as Merged
    from treadle.data.branches.merge_types import MergePlan as MergePlan
    from treadle.data.branches.merge_types import PathConflict as PathConflict
    from treadle.data.branches.merge_types import Revert as Revert
    from treadle.data.branches.merge_types import RowConflict as RowConflict
    from treadle.data.branches.service import Branches as Branches
    from treadle.data.branches.types import DEFAULT_BRANCH as DEFAULT_BRANCH
    from treadle.data.branches.types import Dataset as Dataset
    from treadle.data.branches.types import NewRef as NewRef
    from treadle.data.branches.types import Protection as Protection
    from treadle.data.branches.types import Ref as Ref
    from treadle.data.branches.types import RefSettings as RefSettings
    from treadle.data.keeping import KeptByData as KeptByData
    from treadle.data.measuring import CurrentData as CurrentData
    from treadle.data.moving.frames import ArchiveReader as ArchiveReader
    from treadle.data.moving.frames import frame_content as frame_content
    from treadle.data.moving.service import Moving as Moving
    from treadle.data.moving.types import ImportBucket as ImportBucket
    from treadle.data.moving.types import ImportVersion as ImportVersion
    from treadle.data.moving.types import SentContents as SentContents
    from treadle.data.paths.service import DataPaths as DataPaths
    from treadle.data.paths.types import ChangePaths as ChangePaths
    from treadle.data.paths.types import CopyPath as CopyPath
    from treadle.data.paths.types import PathEntry as PathEntry
    from treadle.data.paths.types import PathPage as PathPage
    from treadle.data.reading import csv_to_parquet as csv_to_parquet
    from treadle.data.remotes.service import Remotes as Remotes
    from treadle.data.remotes.types import Damage as Damage
    from treadle.data.remotes.types import Fetch as Fetch
    from treadle.data.remotes.types import FetchedVersion as FetchedVersion
    from treadle.data.remotes.types import Pull as Pull
    from treadle.data.remotes.types import Pulled as Pulled
    from treadle.data.remotes.types import Push as Push
    from treadle.data.remotes.types import PushedVersions as PushedVersions
    from treadle.data.remotes.types import Verified as Verified
    from treadle.data.remotes.types import Verify as Verify
    from treadle.data.retention.service import Retention as Retention
    from treadle.data.retention.types import DeleteVersions as DeleteVersions
    from treadle.data.retention.types import Deletion as Deletion
    from treadle.data.retention.types import PruneVersions as PruneVersions
    from treadle.data.retention.types import RestoreVersions as RestoreVersions
    from treadle.data.retention.types import VersionFate as VersionFate
    from treadle.data.retention.types import VersionUse as VersionUse
    from treadle.data.reviews.judging import Judge as Judge
    from treadle.data.reviews.judging import Judged as Judged
    from treadle.data.reviews.service import Reviews as Reviews
    from treadle.data.reviews.types import Approval as Approval
    from treadle.data.reviews.types import Decision as Decision
    from treadle.data.reviews.types import EventBody as EventBody
    from treadle.data.reviews.types import Finding as Finding
    from treadle.data.reviews.types import Gate as Gate
    from treadle.data.reviews.types import GateResult as GateResult
    from treadle.data.reviews.types import MergeReview as MergeReview
    from treadle.data.reviews.types import NewComment as NewComment
    from treadle.data.reviews.types import NewReview as NewReview
    from treadle.data.reviews.types import Review as Review
    from treadle.data.reviews.types import ReviewChange as ReviewChange
    from treadle.data.reviews.types import ReviewDetails as ReviewDetails
    from treadle.data.reviews.types import ReviewEvent as ReviewEvent
    from treadle.data.reviews.types import RunGates as RunGates
    from treadle.data.reviews.types import Standing as Standing
    from treadle.data.service import Datasets as Datasets
    from treadle.data.staging.service import Staging as Staging
    from treadle.data.staging.types import About as About
    from treadle.data.staging.types import Found as Found
    from treadle.data.storage.packs import Pack as Pack
    from treadle.data.tables.service import Tables as Tables
    from treadle.data.tables.types import ChangeRows as ChangeRows
    from treadle.data.tables.types import Constraint as Constraint
    from treadle.data.tables.types import MergeRows as MergeRows
    from treadle.data.tables.types import NewConstraint as NewConstraint
    from treadle.data.tables.types import RestoreTable as RestoreTable
    from treadle.data.tables.types import Rows as Rows
    from treadle.data.tables.types import TableColumn as TableColumn
    from treadle.data.tables.types import TableDiff as TableDiff
    from treadle.data.tables.types import TableEvent as TableEvent
    from treadle.data.tables.types import TableState as TableState
    from treadle.data.tables.types import Vacuumed as Vacuumed
    from treadle.data.tables.types import VacuumTable as VacuumTable
    from treadle.data.tables.types import Who as Who
    from treadle.data.tables.types import WriteRows as WriteRows
    from treadle.data.tables.types import Wrote as Wrote
    from treadle.data.tree.types import Difference as Difference
    from treadle.data.tree.types import Entry as Entry
    from treadle.data.tree.types import Mode as Mode
    from treadle.data.types import WEIGHT as WEIGHT
    from treadle.data.types import Column as Column
    from treadle.data.types import DataInput as DataInput
    from treadle.data.types import DatasetVersion as DatasetVersion
    from treadle.data.types import FileEntry as FileEntry
    from treadle.data.types import Roles as Roles
    from treadle.data.types import SliceSpec as SliceSpec
    from treadle.data.types import Source as Source
    from treadle.data.work.gitignore import ignore as ignore
    from treadle.data.work.trees import WorkingTree as WorkingTree
    from treadle.data.work.types import AddPath as AddPath
    from treadle.data.work.types import CheckedOut as CheckedOut
    from treadle.data.work.types import Checkout as Checkout
    from treadle.data.work.types import PathChange as PathChange
    from treadle.data.work.types import WorkStatus as WorkStatus

__getattr__, __all__ = attach(
    __name__,
    {
        "About": "staging.types",
        "DeleteVersions": "retention.types",
        "Deletion": "retention.types",
        "PruneVersions": "retention.types",
        "RestoreVersions": "retention.types",
        "Retention": "retention.service",
        "VersionFate": "retention.types",
        "VersionUse": "retention.types",
        "Judge": "reviews.judging",
        "Judged": "reviews.judging",
        "Reviews": "reviews.service",
        "Approval": "reviews.types",
        "Decision": "reviews.types",
        "EventBody": "reviews.types",
        "Finding": "reviews.types",
        "Gate": "reviews.types",
        "GateResult": "reviews.types",
        "MergeReview": "reviews.types",
        "NewComment": "reviews.types",
        "NewReview": "reviews.types",
        "Review": "reviews.types",
        "ReviewChange": "reviews.types",
        "ReviewDetails": "reviews.types",
        "ReviewEvent": "reviews.types",
        "RunGates": "reviews.types",
        "Standing": "reviews.types",
        "DEFAULT_BRANCH": "branches.types",
        "Dataset": "branches.types",
        "Difference": "tree.types",
        "Found": "staging.types",
        "Staging": "staging.service",
        "AddPath": "work.types",
        "Branches": "branches.service",
        "Remotes": "remotes.service",
        "Damage": "remotes.types",
        "Fetch": "remotes.types",
        "FetchedVersion": "remotes.types",
        "Pull": "remotes.types",
        "Pulled": "remotes.types",
        "Push": "remotes.types",
        "PushedVersions": "remotes.types",
        "Verified": "remotes.types",
        "Verify": "remotes.types",
        "CheckedOut": "work.types",
        "Checkout": "work.types",
        "Merge": "branches.merge_types",
        "Merged": "branches.merge_types",
        "MergePlan": "branches.merge_types",
        "Revert": "branches.merge_types",
        "DataDiff": "branches.comparing_types",
        "NewRef": "branches.types",
        "Protection": "branches.types",
        "Ref": "branches.types",
        "RefSettings": "branches.types",
        "ColumnDiff": "branches.comparing_types",
        "ColumnStats": "branches.comparing_types",
        "RowConflict": "branches.merge_types",
        "PathConflict": "branches.merge_types",
        "KeptByData": "keeping",
        "ChangePaths": "paths.types",
        "CopyPath": "paths.types",
        "DataPaths": "paths.service",
        "PathEntry": "paths.types",
        "PathPage": "paths.types",
        "PathChange": "work.types",
        "ArchiveReader": "moving.frames",
        "ImportBucket": "moving.types",
        "Entry": "tree.types",
        "ImportVersion": "moving.types",
        "Mode": "tree.types",
        "Moving": "moving.service",
        "Pack": "storage.packs",
        "SentContents": "moving.types",
        "csv_to_parquet": "reading",
        "frame_content": "moving.frames",
        "ignore": "work.gitignore",
        "Source": "types",
        "WorkStatus": "work.types",
        "WorkingTree": "work.trees",
        "Tables": "tables.service",
        "ChangeRows": "tables.types",
        "Constraint": "tables.types",
        "MergeRows": "tables.types",
        "NewConstraint": "tables.types",
        "RestoreTable": "tables.types",
        "Rows": "tables.types",
        "TableColumn": "tables.types",
        "TableDiff": "tables.types",
        "TableEvent": "tables.types",
        "TableState": "tables.types",
        "Vacuumed": "tables.types",
        "VacuumTable": "tables.types",
        "Who": "tables.types",
        "WriteRows": "tables.types",
        "Wrote": "tables.types",
        "WEIGHT": "types",
        "Column": "types",
        "CurrentData": "measuring",
        "DataInput": "types",
        "DatasetVersion": "types",
        "Datasets": "service",
        "FileEntry": "types",
        "Roles": "types",
        "SliceSpec": "types",
    },
)
