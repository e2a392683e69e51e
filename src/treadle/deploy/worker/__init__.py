"""MLflow-format models, each in a process of its own and in the environment that it was logged with."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.deploy.worker.environments import Environments as Environments
    from treadle.deploy.worker.environments import Preparing as Preparing
    from treadle.deploy.worker.foreign import ForeignModel as ForeignModel
    from treadle.deploy.worker.table import Table as Table
    from treadle.deploy.worker.table import plain as plain

__getattr__, __all__ = attach(
    __name__,
    {
        "Environments": "environments",
        "ForeignModel": "foreign",
        "Preparing": "environments",
        "Table": "table",
        "plain": "table",
    },
)
