"""The HTTP edge: one typed ASGI application over all rooms; no logic of its own."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.api.app import create_app as create_app
    from treadle.api.server import serve as serve

__getattr__, __all__ = attach(__name__, {"create_app": "app", "serve": "server"})
