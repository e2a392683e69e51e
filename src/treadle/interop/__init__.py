"""Moving in and out: stores of other tracking servers, read and written; Treadle is reached by its client."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.interop.counting import count as count
    from treadle.interop.exporting import export_files as export_files
    from treadle.interop.exporting_server import export_server as export_server
    from treadle.interop.http_source import HttpSource as HttpSource
    from treadle.interop.importing import Importer as Importer
    from treadle.interop.importing import ImportReport as ImportReport
    from treadle.interop.importing import Line as Line
    from treadle.interop.opening import open_source as open_source
    from treadle.interop.types import Source as Source
    from treadle.interop.types import SourceFile as SourceFile
    from treadle.interop.types import Trouble as Trouble

__getattr__, __all__ = attach(
    __name__,
    {
        "HttpSource": "http_source",
        "ImportReport": "importing",
        "Importer": "importing",
        "Line": "importing",
        "Source": "types",
        "SourceFile": "types",
        "Trouble": "types",
        "count": "counting",
        "export_files": "exporting",
        "export_server": "exporting_server",
        "open_source": "opening",
    },
)
