"""Datasets: immutable versions of files, and the slices of them that models are made of."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.data.keeping import KeptByData as KeptByData
    from treadle.data.service import Datasets as Datasets
    from treadle.data.types import Column as Column
    from treadle.data.types import DataInput as DataInput
    from treadle.data.types import DatasetVersion as DatasetVersion
    from treadle.data.types import FileEntry as FileEntry
    from treadle.data.types import Roles as Roles
    from treadle.data.types import SliceSpec as SliceSpec

__getattr__, __all__ = attach(
    __name__,
    {
        "KeptByData": "keeping",
        "Column": "types",
        "DataInput": "types",
        "DatasetVersion": "types",
        "Datasets": "service",
        "FileEntry": "types",
        "Roles": "types",
        "SliceSpec": "types",
    },
)
