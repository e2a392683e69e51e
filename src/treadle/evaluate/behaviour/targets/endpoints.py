"""Asking HTTP endpoints: OpenAI's chat completions and embeddings, and any that takes and gives JSON."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from treadle.evaluate.behaviour.targets.functions import usage_of
from treadle.evaluate.behaviour.targets.paths import as_text, at_path, fill, steps
from treadle.evaluate.behaviour.targets.port import Call
from treadle.evaluate.behaviour.types import ErrorKind, Reply
from treadle.kernel.config import TargetConfig
from treadle.kernel.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    import urllib3

MOST_BYTES = 8 << 20
_CONNECT_SECONDS = 10.0
_PIECE = 1 << 16
_SAID = 300
_CHAT_ANSWER = "choices.0.message.content"


class _Page(NamedTuple):
    """What a server sent.

    Attributes:
        status: The HTTP status.
        headers: Its headers, by their names in lower case.
        body: The body.
        seconds: How long it took.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class _NoAnswer(Exception):
    """Why a server sent nothing that can be used."""

    def __init__(self, kind: ErrorKind, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


class Http:
    """Posts JSON to one address, with a key that no error ever shows.

    Args:
        config: The endpoint.
        where: The key of ``treadle.toml`` that declares it.

    Raises:
        ConfigError: If the environment has no key.
    """

    def __init__(self, config: TargetConfig, where: str) -> None:
        self._headers = {"content-type": "application/json", "user-agent": "treadle", **config.headers}
        self._key = ""
        if config.key_env:
            self._key = os.environ.get(config.key_env, "")
            if not self._key:
                raise ConfigError(
                    f"the environment has no {config.key_env}",
                    where=f"{where} key_env",
                    fix=f"export {config.key_env}=...; the key itself is written down nowhere",
                )
            bearer = "Bearer " if config.key_header.lower() == "authorization" else ""
            self._headers[config.key_header] = bearer + self._key
        self._pool = _pool(str(config.url), config.concurrency)

    def post(self, url: str, body: Any, timeout: float) -> _Page:
        """Posts; returns the whole answer, whatever its status.

        Raises:
            _NoAnswer: If none came in time, or none that is whole.
        """
        import urllib3

        begun = time.perf_counter()
        limit = urllib3.Timeout(connect=min(timeout, _CONNECT_SECONDS), read=timeout)
        try:
            response = self._pool.request(
                "POST",
                url,
                body=msgspec.json.encode(body),
                headers=self._headers,
                timeout=limit,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                content = _read(response, begun + timeout)
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except urllib3.exceptions.NewConnectionError as error:
            raise _NoAnswer("connection", f"no connection: {self.hidden(str(error))}") from None
        except urllib3.exceptions.TimeoutError:
            raise _NoAnswer("timeout", f"no answer within {timeout:g} s") from None
        except urllib3.exceptions.DecodeError as error:
            raise _NoAnswer("malformed", f"the answer can't be read: {self.hidden(str(error))}") from None
        except urllib3.exceptions.ProtocolError as error:
            raise _NoAnswer("connection", f"the answer broke off: {self.hidden(str(error))}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _NoAnswer("connection", f"no connection: {self.hidden(str(error))}") from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return _Page(response.status, headers, content, time.perf_counter() - begun)

    def hidden(self, text: str) -> str:
        """A text without the key, in one line."""
        shown = text.replace(self._key, "***") if self._key else text
        return " ".join(shown.split())[:_SAID]

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()


def _pool(url: str, size: int) -> urllib3.PoolManager:
    """Connections to a server, through the proxy that the environment names for it."""
    import urllib.request

    import urllib3

    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    proxy = urllib.request.getproxies().get(scheme)
    if proxy and not urllib.request.proxy_bypass(host.partition(":")[0]):
        return urllib3.ProxyManager(proxy, maxsize=size)
    return urllib3.PoolManager(maxsize=size)


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """The whole body, unless it is too long or drips in too slowly."""
    import urllib3

    pieces, size = [], 0
    while piece := response.read1(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise _NoAnswer("too_long", f"the answer has more than {MOST_BYTES >> 20} MiB")
        if time.perf_counter() > deadline:
            raise urllib3.exceptions.TimeoutError
    return b"".join(pieces)


class Endpoint:
    """An endpoint that is asked.

    Args:
        config: Which, how it is spoken to, and with what.
        where: The key of ``treadle.toml`` that declares it.

    Raises:
        ConfigError: If the environment has no key, or `answer` is no path.
    """

    def __init__(self, config: TargetConfig, where: str) -> None:
        self._config = config
        self._http = Http(config, where)
        self._path = config.answer or _CHAT_ANSWER
        try:
            steps(self._path)
        except InvalidInput as error:
            raise ConfigError(error.message, where=f"{where} answer", fix=error.fix) from None
        base = str(config.url).rstrip("/")
        chat = config.api == "chat" and not base.endswith("/chat/completions")
        self._url = f"{base}/chat/completions" if chat else str(config.url)
        self.name = f"{config.model} at {base}" if config.model else base

    def check(self, call: Call) -> None:
        """Refuses a question that the template can't be filled with.

        Raises:
            InvalidInput: Naming what is missing.
        """
        try:
            self._body(call)
        except InvalidInput as error:
            raise InvalidInput(
                f"`body` can't be filled in for case {_name(call)!r}: {error.message}", where=self.name
            ) from None

    def ask(self, call: Call, timeout: float) -> Reply:
        """Posts the question."""
        begun = time.perf_counter()
        try:
            page = self._http.post(self._url, self._body(call), timeout)
        except _NoAnswer as error:
            return Reply(error=error.kind, detail=error.detail, seconds=time.perf_counter() - begun)
        if not 200 <= page.status < 300:
            return _refusal(page, self._http)
        try:
            told = msgspec.json.decode(page.body)
            answer = at_path(told, self._path)
        except msgspec.DecodeError as error:
            return self._malformed(page, f"the answer is no JSON: {error}")
        except InvalidInput as error:
            return self._malformed(page, error.message)
        return self._reply(page, told, answer)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _body(self, call: Call) -> Any:
        if self._config.api == "json":
            values = {"input": call.input, "id": _name(call), "seed": call.seed}
            return {**fill(self._config.body, values), **self._config.params}
        system = [{"role": "system", "content": self._config.system}] if self._config.system else []
        seed = {"seed": call.seed} if self._config.send_seed else {}
        return {
            "model": self._config.model,
            "messages": [*system, *messages(call.input)],
            **self._config.params,
            **seed,
        }

    def _reply(self, page: _Page, told: Any, answer: Any) -> Reply:
        usage = usage_of(told)
        model = " ".join(
            str(told[key])
            for key in ("model", "system_fingerprint")
            if isinstance(told, dict) and told.get(key)
        )
        if answer is None:
            return Reply(
                error="nothing",
                detail=f"{self._path} is null",
                seconds=page.seconds,
                usage=usage,
                model=model,
            )
        cut = False
        if isinstance(told, dict) and isinstance(told.get("choices"), list) and told["choices"]:
            first = told["choices"][0]
            cut = isinstance(first, dict) and first.get("finish_reason") == "length"
        return Reply(value=answer, seconds=page.seconds, usage=usage, model=model, cut=cut)

    def _malformed(self, page: _Page, detail: str) -> Reply:
        said = self._http.hidden(page.body.decode(errors="replace"))
        return Reply(error="malformed", detail=f"{detail}: {said}", seconds=page.seconds)


def _refusal(page: _Page, http: Http) -> Reply:
    """Why a server gave no answer, and whether it may be asked again."""
    said = http.hidden(_message(page.body))
    kind: ErrorKind = "refused"
    if page.status == 429 and b"insufficient_quota" not in page.body:  # OpenAI's word for "pay first"
        kind = "rate_limited"
    elif page.status >= 500 or page.status == 408:
        kind = "server"
    return Reply(
        error=kind,
        detail=f"HTTP {page.status}: {said}" if said else f"HTTP {page.status}",
        seconds=page.seconds,
        retry_after=_retry_after(page.headers),
        status=page.status,
    )


def _name(call: Call) -> str:
    return call.case.id if call.case else call.key


def messages(given: Any) -> list[Any]:
    """An input as a conversation: messages as they are, text or other JSON as what a user says."""
    if isinstance(given, list) and given and all(isinstance(one, dict) and "role" in one for one in given):
        return given
    return [{"role": "user", "content": as_text(given)}]


def _message(body: bytes) -> str:
    """What an error's body says, as OpenAI and most others write it."""
    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode(errors="replace")
    error = told.get("error", told) if isinstance(told, dict) else told
    message = error.get("message") if isinstance(error, dict) else error
    return as_text(message if message is not None else told)


def _retry_after(headers: dict[str, str]) -> float | None:
    """For how many seconds to wait: milliseconds, seconds, or a date (RFC 9110, section 10.2.3)."""
    import email.utils

    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            return max(float(text) / unit, 0.0)
        except ValueError:
            pass
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(moment.timestamp() - time.time(), 0.0)


class Embeddings:
    """An endpoint that gives vectors, as OpenAI's does.

    Args:
        config: Which.
        where: The key of ``treadle.toml`` that declares it.

    Raises:
        ConfigError: If the environment has no key.
    """

    def __init__(self, config: TargetConfig, where: str) -> None:
        self._config = config
        self._http = Http(config, where)
        base = str(config.url).rstrip("/")
        self._url = base if base.endswith("/embeddings") else f"{base}/embeddings"
        self.name = f"{config.model} at {base}"

    def ask(self, texts: Sequence[str], timeout: float) -> Reply:
        """The vectors of some texts, in their order."""
        body = {"model": self._config.model, "input": list(texts), **self._config.params}
        begun = time.perf_counter()
        try:
            page = self._http.post(self._url, body, timeout)
        except _NoAnswer as error:
            return Reply(error=error.kind, detail=error.detail, seconds=time.perf_counter() - begun)
        if not 200 <= page.status < 300:
            return _refusal(page, self._http)
        try:
            told = msgspec.json.decode(page.body)
            rows = sorted(told["data"], key=lambda one: one["index"])
            vectors = [[float(number) for number in one["embedding"]] for one in rows]
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            return Reply(error="malformed", detail=f"no embeddings: {error}", seconds=page.seconds)
        if len(vectors) != len(texts):
            return Reply(error="malformed", detail=f"{len(vectors)} vectors for {len(texts)} texts")
        return Reply(value=vectors, seconds=page.seconds, usage=usage_of(told))

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()
