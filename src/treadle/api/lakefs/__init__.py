"""lakeFS's REST protocol over Treadle's datasets, branches and versions, for its unmodified clients."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.api.lakefs.app import LakefsApp as LakefsApp

__getattr__, __all__ = attach(__name__, {"LakefsApp": "app"})
