"""Which store a text names: a folder, a database, or a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from treadle.interop.places import Places
from treadle.interop.types import Source, Tell
from treadle.kernel.errors import InvalidInput, NotFound

_DATABASES = ("sqlite", "postgresql", "postgres", "mysql", "mssql")


def open_source(text: str, tell: Tell, artifacts: Sequence[Path] = ()) -> Source:
    """Opens an MLflow store to read from.

    Args:
        text: A folder or ``file:`` URI, a database's URL, a SQLite file, or ``http(s)://HOST:PORT``.
        tell: Hears of what can't be read.
        artifacts: Folders in which artifacts lie that aren't where the store says.

    Raises:
        InvalidInput: If it names no kind of store.
        NotFound: If there is nothing, or something else.
        StorageError: If it can't be read.
        Unavailable: If a server doesn't answer.
    """
    for folder in artifacts:
        if not folder.is_dir():
            raise NotFound("there is no such folder of artifacts", where=str(folder))
    scheme = urlsplit(text).scheme.lower().partition("+")[0]
    if scheme in {"http", "https"}:
        from treadle.client import HttpTransport
        from treadle.interop.http_source import HttpSource

        return HttpSource(HttpTransport(text), text.rstrip("/"), tell)
    path = Path(unquote(urlsplit(text).path)) if scheme == "file" else Path(text)
    if scheme in _DATABASES or (not scheme and path.is_file()):
        from treadle.interop.sql_source import SqlSource

        url = text if scheme in _DATABASES else f"sqlite:///{path}"
        url = url.replace("postgres://", "postgresql://", 1) if scheme == "postgres" else url
        beside = (
            Path(url.removeprefix("sqlite:///")).resolve().parent if url.startswith("sqlite:") else Path.cwd()
        )
        likely = [beside / "mlartifacts", beside / "mlruns"]
        return SqlSource(url, Places(artifacts, likely, tell), tell)
    if scheme not in {"", "file"}:
        raise InvalidInput(
            f"{scheme}:// is no store that can be read",
            where=text[:200],
            fix="name a folder such as ./mlruns, sqlite:///mlflow.db, postgresql://… or http://HOST:5000",
        )
    from treadle.interop.file_source import FileSource

    return FileSource(path, Places(artifacts, [path, path.parent / "mlartifacts"], tell), tell)
