"""What a request is answered that ``treadle up`` can't wait for at its end."""

from __future__ import annotations

import http.client
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from live import PATIENCE, make, up
from treadle.kernel.errors import ErrorBody


def test_a_request_that_does_not_end_is_told_of_the_shutdown(tmp_path: Path) -> None:
    with up(make(tmp_path / "toy")) as running:
        address = urlsplit(running.url)
        with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as client:
            # The server waits for the rest of the body; "100 Continue" says that it has begun to.
            client.sendall(
                b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
            )
            assert client.recv(1000).startswith(b"HTTP/1.1 100")
            running.process.send_signal(signal.SIGINT)
            with http.client.HTTPResponse(client) as answer:
                answer.begin()
                error = msgspec.json.decode(answer.read(), type=ErrorBody)
        assert (answer.status, error.code, error.where) == (503, "unavailable", "POST /v1/runs")
        assert "shutting down" in error.message
        running.process.communicate(timeout=PATIENCE)
        assert running.process.returncode == 0
