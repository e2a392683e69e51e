"""``treadle://`` paths: versions of data as a file system of fsspec, which finds this by itself."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.paths.filesystem import TreadleFileSystem as TreadleFileSystem
    from treadle.paths.local import bring as bring
    from treadle.paths.local import find_place as find_place
    from treadle.paths.places import Place as Place
    from treadle.paths.places import needs_names as needs_names
    from treadle.paths.places import read_place as read_place

__getattr__, __all__ = attach(
    __name__,
    {
        "Place": "places",
        "TreadleFileSystem": "filesystem",
        "bring": "local",
        "find_place": "local",
        "needs_names": "places",
        "read_place": "places",
    },
)
