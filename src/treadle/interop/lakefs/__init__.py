"""lakeFS servers: a reference of theirs, pinned to its commit, becomes a version here."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.interop.lakefs.importing import LakefsReport as LakefsReport
    from treadle.interop.lakefs.importing import import_lakefs as import_lakefs
    from treadle.interop.lakefs.server import LakefsServer as LakefsServer
    from treadle.interop.lakefs.server import Place as Place
    from treadle.interop.lakefs.server import parse_place as parse_place

__getattr__, __all__ = attach(
    __name__,
    {
        "LakefsReport": "importing",
        "LakefsServer": "server",
        "Place": "server",
        "import_lakefs": "importing",
        "parse_place": "server",
    },
)
