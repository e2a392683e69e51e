"""Treadle: experiment, train, evaluate, deploy, monitor, retrain, and round again.

In a training script or a notebook::

    import treadle

    with treadle.start_run() as run:
        frame = pandas.read_parquet(treadle.data("flights"))
        ...
        run.log(auc=0.71)
        run.log_model(model, frame[run.features])

Everything here is imported when it is first used, so that ``import treadle`` costs nothing.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from treadle.kernel import lazy

if TYPE_CHECKING:
    from treadle.sdk import Audio as Audio
    from treadle.sdk import Frame
    from treadle.sdk import Html as Html
    from treadle.sdk import Image as Image
    from treadle.sdk import Plot as Plot
    from treadle.sdk import Table as Table
    from treadle.sdk import attach as attach
    from treadle.sdk import check as check
    from treadle.sdk import data as data
    from treadle.sdk import model as model
    from treadle.sdk import record_provenance as record_provenance
    from treadle.sdk import start_run as start_run
    from treadle.sdk import sync as sync

__version__ = "0.1.0"

_NAMES = (
    "Audio",
    "Html",
    "Image",
    "Plot",
    "Table",
    "attach",
    "check",
    "model",
    "record_provenance",
    "start_run",
    "sync",
)
_load, _ = lazy.attach(__name__, dict.fromkeys(_NAMES, "sdk"))
__all__ = [
    "Audio",
    "Html",
    "Image",
    "Plot",
    "Table",
    "__version__",
    "attach",
    "check",
    "data",
    "model",
    "record_provenance",
    "start_run",
    "sync",
]


class _DataRoom(ModuleType):
    """The package ``treadle.data``, which may also be called: ``treadle.data("flights")``."""

    def __call__(self, name: str, *, frame: "Frame | None" = None) -> Any:
        """The path of data, or a frame of it; see :func:`treadle.sdk.data`."""
        from treadle.sdk import data

        return data(name, frame=frame)


class _Treadle(ModuleType):
    """This package. One name is both a room and a function of the SDK, so the room is callable."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "data" and type(value) is ModuleType:
            value.__class__ = _DataRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Treadle


def __getattr__(name: str) -> Any:
    if name == "data":
        import importlib

        return importlib.import_module("treadle.data")
    return _load(name)
