"""Loads a model, whatever its files are: ONNX here, what MLflow wrote in a process of its own."""

from __future__ import annotations

from pathlib import Path

from treadle.deploy.replica.served import Model
from treadle.deploy.types import ReplicaOptions
from treadle.registry import LoadedModel


class Opener:
    """Loads the versions of one model.

    Args:
        options: How the server is run.
        model: The model.
    """

    def __init__(self, options: ReplicaOptions, model: str) -> None:
        from treadle.deploy.worker import Environments

        state = Path(options.state)
        self._options = options
        self._output = state / f"worker-{model}.log"
        self._environments = Environments(state / "environments", options.environments)

    def __call__(self, folder: Path) -> Model:
        """The model in a folder, loaded and proven on its own example.

        Raises:
            ModelInvalid: If it can't be loaded or served.
            Preparing: If its environment is being made.
        """
        if (folder / "model.onnx").exists() or not (folder / "MLmodel").exists():
            return LoadedModel.load(folder)
        from treadle.deploy.worker import ForeignModel

        return ForeignModel.load(
            folder,
            self._environments.python(folder),
            self._output,
            self._options.timeout,
            local=self._options.environments == "local",
        )
