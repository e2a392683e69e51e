"""MLflow's REST protocol over Treadle's own rooms, so that whatever logs to MLflow logs here unchanged."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.api.mlflow.app import MlflowApp as MlflowApp

__getattr__, __all__ = attach(__name__, {"MlflowApp": "app"})
