"""A server that speaks OpenAI's protocol, answers otherwise each time by seed, and fails as it is told."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Action = dict[str, Any]
"""What the server does: ``text``, ``status`` with ``headers`` and ``json``, ``raw`` bytes, ``hang`` seconds,
``truncate``, ``drip`` seconds between bytes, or whole ``json``."""


class ChatServer:
    """A running server.

    Args:
        act: What it does with what a user says, given how often it was said before and a random generator
            that depends on the seed, on what was said, and how often.
        seed: Of its answers.
    """

    def __init__(self, act: Callable[[str, int, random.Random], Action | str], seed: int = 0) -> None:
        self.act, self.seed = act, seed
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.busy = self.busiest = 0
        self._said: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def asked(self, text: str) -> int:
        """How often a user said something."""
        return self._said.get(text, 0)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def decide(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Action:
        with self._lock:
            self.requests.append(body)
            self.headers.append(headers)
            self.times.append(time.monotonic())
            if path.endswith("/embeddings"):
                text = json.dumps(body["input"])
            else:
                text = body["messages"][-1]["content"] if "messages" in body else json.dumps(body)
            count = self._said[text] = self._said.get(text, 0) + 1
        mixed = hashlib.sha256(f"{self.seed}\0{text}\0{count}".encode()).digest()
        found = self.act(text, count - 1, random.Random(mixed))
        action = {"text": found} if isinstance(found, str) else found
        if "text" in action and not path.endswith("/embeddings"):
            action = {**action, "json": completion(body, action["text"])}
        return action

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with server._lock:
                    server.busy += 1
                    server.busiest = max(server.busiest, server.busy)
                try:
                    with contextlib.suppress(ConnectionError):
                        self.answer(server.decide(self.path, headers, body))
                finally:
                    with server._lock:
                        server.busy -= 1

            def answer(self, action: Action) -> None:
                time.sleep(action.get("hang", 0))
                content = action.get("raw", json.dumps(action.get("json", {})).encode())
                self.send_response(action.get("status", 200))
                for name, value in action.get("headers", {}).items():
                    self.send_header(name, value)
                short = action.get("truncate", False)
                self.send_header("content-length", str(len(content) + 100 * short))
                self.end_headers()
                if drip := action.get("drip"):
                    for byte in content:
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        time.sleep(drip)
                else:
                    self.wfile.write(content)
                if short:
                    self.wfile.flush()
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


def completion(body: dict[str, Any], text: str | None) -> dict[str, Any]:
    """A chat completion as OpenAI's API reference has it; a word is a token."""
    asked = sum(len(str(one.get("content")).split()) for one in body.get("messages", []))
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": f"{body.get('model')}-2026-01-01",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": len((text or "").split()),
            "total_tokens": asked + len((text or "").split()),
        },
    }


@contextlib.contextmanager
def serving(act: Callable[[str, int, random.Random], Action | str], seed: int = 0) -> Iterator[ChatServer]:
    """A server for the block."""
    server = ChatServer(act, seed)
    try:
        yield server
    finally:
        server.close()
