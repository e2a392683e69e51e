"""What a training script or a notebook uses; stands on msgspec alone until more is needed."""

from typing import TYPE_CHECKING

from treadle.kernel import lazy

if TYPE_CHECKING:
    from treadle.sdk.checking import Checked as Checked
    from treadle.sdk.checking import check as check
    from treadle.sdk.datasets import data as data
    from treadle.sdk.frames import Frame as Frame
    from treadle.sdk.handle import RunHandle as RunHandle
    from treadle.sdk.mlflow_context import record_provenance as record_provenance
    from treadle.sdk.pages import Html as Html
    from treadle.sdk.pages import Plot as Plot
    from treadle.sdk.pictures import Image as Image
    from treadle.sdk.sheets import Table as Table
    from treadle.sdk.sounds import Audio as Audio
    from treadle.sdk.spool import RunSink as RunSink
    from treadle.sdk.spool import sync as sync
    from treadle.sdk.start import attach as attach
    from treadle.sdk.start import start_run as start_run
    from treadle.sdk.versions import model as model

__getattr__, __all__ = lazy.attach(
    __name__,
    {
        "Audio": "sounds",
        "Checked": "checking",
        "Frame": "frames",
        "Html": "pages",
        "Image": "pictures",
        "Plot": "pages",
        "Table": "sheets",
        "RunHandle": "handle",
        "RunSink": "spool",
        "attach": "start",
        "check": "checking",
        "data": "datasets",
        "model": "versions",
        "record_provenance": "mlflow_context",
        "start_run": "start",
        "sync": "spool",
    },
)
