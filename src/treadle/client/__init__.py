"""The one way in: what the command line, the SDK and an inference server use to reach Treadle."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.client.answers import SqlAnswer as SqlAnswer
    from treadle.client.client import Client as Client
    from treadle.client.finding import connect as connect
    from treadle.client.finding import find_server as find_server
    from treadle.client.finding import is_outdated as is_outdated
    from treadle.client.http import HttpTransport as HttpTransport
    from treadle.client.transport import Transport as Transport

__getattr__, __all__ = attach(
    __name__,
    {
        "Client": "client",
        "HttpTransport": "http",
        "SqlAnswer": "answers",
        "Transport": "transport",
        "connect": "finding",
        "find_server": "finding",
        "is_outdated": "finding",
    },
)
