"""DVC repositories: read as they are, taken in with their history, written again."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.interop.dvc.exporting import DvcExport as DvcExport
    from treadle.interop.dvc.exporting import export_dvc as export_dvc
    from treadle.interop.dvc.importing import DvcImporter as DvcImporter
    from treadle.interop.dvc.importing import DvcReport as DvcReport
    from treadle.interop.dvc.importing import TakenOutput as TakenOutput
    from treadle.interop.dvc.repository import Repository as Repository

__getattr__, __all__ = attach(
    __name__,
    {
        "DvcExport": "exporting",
        "DvcImporter": "importing",
        "DvcReport": "importing",
        "Repository": "repository",
        "TakenOutput": "importing",
        "export_dvc": "exporting",
    },
)
