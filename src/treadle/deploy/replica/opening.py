"""Loads a model, whatever its files are: ONNX here, what MLflow wrote in a process of its own."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from pathlib import Path

from treadle.deploy.replica.served import Model
from treadle.deploy.types import ReplicaOptions
from treadle.deploy.worker import Preparing
from treadle.registry import LoadedModel, check_loadable, scan_folder

log = logging.getLogger("treadle.replica")


class Opener:
    """Loads the versions of one model.

    Args:
        options: How the server is run.
        model: The model.
    """

    def __init__(self, options: ReplicaOptions, model: str) -> None:
        from treadle.deploy.worker import Environments

        self._loading: dict[Path, Future[Model]] = {}
        state = Path(options.state)
        self._options = options
        self._model = model
        self._output = state / f"worker-{model}.log"
        self._environments = Environments(state / "environments", options.environments)

    def __call__(self, folder: Path) -> Model:
        """The model in a folder, loaded and proven on its own example.

        Raises:
            ModelInvalid: If it can't be loaded or served.
            Refused: If it has a pickle that may not be loaded.
            Preparing: If it is being loaded, or its environment made.
        """
        if (folder / "model.onnx").exists() or not (folder / "MLmodel").exists():
            return LoadedModel.load(folder)
        return self._beside(folder)

    def _beside(self, folder: Path) -> Model:
        """Loads in a thread of its own: it takes seconds, in which reports must go on."""
        loading = self._loading.get(folder)
        if loading is None:
            self._loading = {folder: Future()}  # what was loaded for a revision that isn't wanted is let go
            threading.Thread(target=self._fill, args=(folder, self._loading[folder]), daemon=True).start()
        elif loading.done():
            del self._loading[folder]
            return loading.result()
        raise Preparing("the model is being loaded", where=self._model)

    def _fill(self, folder: Path, loading: Future[Model]) -> None:
        try:
            loading.set_result(self._foreign(folder))
        except BaseException as error:  # noqa: BLE001 - it is raised where the model is asked for
            loading.set_exception(error)

    def _foreign(self, folder: Path) -> Model:
        from treadle.deploy.worker import ForeignModel

        pickles = scan_folder(folder)
        check_loadable(pickles, self._options.pickle, self._model)
        for one in pickles:
            if one.verdict != "known":
                log.warning("%s: %s holds code (%s)", self._model, one.path, ", ".join(one.names))
        found = ForeignModel.load(
            folder,
            self._environments.python(folder),
            self._output,
            self._options.timeout,
            local=self._options.environments == "local",
        )
        if found.signature.number is None and self._options.log_predictions:
            log.warning("%s gives no number: what it predicts isn't logged for monitoring", self._model)
        return found
