"""The registry: models, their versions, and what was in production when."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.registry.format import LoadedModel as LoadedModel
    from treadle.registry.service import Registry as Registry
    from treadle.registry.types import Field as Field
    from treadle.registry.types import FieldKind as FieldKind
    from treadle.registry.types import ModelFile as ModelFile
    from treadle.registry.types import ModelVersion as ModelVersion
    from treadle.registry.types import NewVersion as NewVersion
    from treadle.registry.types import Signature as Signature
    from treadle.registry.types import Status as Status
    from treadle.registry.types import Transition as Transition

__getattr__, __all__ = attach(
    __name__,
    {
        "Field": "types",
        "FieldKind": "types",
        "LoadedModel": "format",
        "ModelFile": "types",
        "ModelVersion": "types",
        "NewVersion": "types",
        "Registry": "service",
        "Signature": "types",
        "Status": "types",
        "Transition": "types",
    },
)
