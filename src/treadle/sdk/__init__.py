"""What a training script or a notebook uses; stands on msgspec alone until more is needed."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.sdk.handle import RunHandle as RunHandle
    from treadle.sdk.inputs import data as data
    from treadle.sdk.spool import RunSink as RunSink
    from treadle.sdk.spool import sync as sync
    from treadle.sdk.start import start_run as start_run

__getattr__, __all__ = attach(
    __name__,
    {
        "RunHandle": "handle",
        "RunSink": "spool",
        "data": "inputs",
        "start_run": "start",
        "sync": "spool",
    },
)
