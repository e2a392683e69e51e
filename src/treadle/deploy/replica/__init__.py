"""The inference server: one process a replica, speaking the Open Inference Protocol v2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.deploy.replica.main import ReplicaServer as ReplicaServer
    from treadle.deploy.replica.main import serve as serve
    from treadle.deploy.replica.platform import Platform as Platform

__getattr__, __all__ = attach(__name__, {"Platform": "platform", "ReplicaServer": "main", "serve": "main"})
