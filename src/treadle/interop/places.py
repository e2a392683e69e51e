"""Where artifacts lie: a folder of this machine, found again if the store was moved, or a bucket."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from treadle.experiment import check_artifact_path
from treadle.interop.types import SourceFile, Tell, Trouble
from treadle.kernel.errors import InvalidInput, StorageError
from treadle.kernel.files import storage_errors

_PIECE = 4 << 20
_BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "abfss", "wasbs", "adl")


class Places:
    """Finds the files of runs and logged models by the URI that their store has of them.

    Args:
        named: Folders that the user named as artifact roots: what isn't there was never logged.
        likely: Folders in which an artifact root may lie now, the likeliest first.
        tell: Hears of what can't be read.
    """

    def __init__(self, named: Sequence[Path], likely: Sequence[Path], tell: Tell) -> None:
        self._roots = [root for root in (*named, *likely) if root.is_dir()]
        self._named = bool(named)
        self._tell = tell

    def files(self, uri: str) -> list[SourceFile] | None:
        """The files at a URI, none if nothing was ever put there; None if it can't be reached.

        What is unreachable is told.
        """
        if not uri:
            return []
        scheme = urlsplit(uri).scheme.lower()
        if scheme in _BUCKETS:
            return self._in_bucket(uri)
        if scheme not in {"", "file", "mlflow-artifacts"}:
            self._tell(Trouble(uri, f"artifacts on {scheme}:// can't be read"))
            return None
        folder, known = self._folder(uri, scheme)
        if folder is not None:
            return list(self.walk(folder))
        if known:
            return []
        self._tell(Trouble(uri, "the artifacts' folder is not on this machine: name it with --artifacts"))
        return None

    def _folder(self, uri: str, scheme: str) -> tuple[Path | None, bool]:
        """The folder of a URI if it is there, and whether the root above it is."""
        path = unquote(urlsplit(uri).path) if scheme else uri
        parts = [part for part in path.split("/") if part]
        if ".." in parts:
            return None, False
        if scheme != "mlflow-artifacts":
            here = Path(path)
            if here.is_dir():
                return here, True
            if any(above.is_dir() for above in list(here.parents)[:2] if len(above.parts) > 1):
                return None, True
        # As the store was laid out: EXPERIMENT/RUN/artifacts or EXPERIMENT/models/MODEL/artifacts.
        for root in self._roots:
            for length in range(len(parts), 1, -1):
                moved = root.joinpath(*parts[-length:])
                if moved.is_dir():
                    return moved, True
        proxied = scheme == "mlflow-artifacts" and bool(self._roots)
        return None, self._named or proxied or any(root.name in parts for root in self._roots)

    def walk(self, folder: Path) -> Iterator[SourceFile]:
        """The files in a folder. Links that lead out of it are told and passed over."""
        top = folder.resolve()
        for found, folders, names in os.walk(folder, onerror=self._unreadable):
            folders.sort()
            for name in [name for name in folders if (Path(found) / name).is_symlink()]:
                self._tell(Trouble(str(Path(found) / name), "a link to a folder is not followed"))
            for name in sorted(names):
                path = Path(found) / name
                inside = path.relative_to(folder).as_posix()
                reason = _unfit(path, inside, top)
                if reason:
                    self._tell(Trouble(str(path), reason))
                    continue
                yield SourceFile(inside, path.stat().st_size, partial(_pieces, path))

    def _unreadable(self, error: OSError) -> None:
        self._tell(Trouble(str(error.filename), error.strerror or str(error)))

    def _in_bucket(self, uri: str) -> list[SourceFile] | None:
        import obstore
        from obstore.store import from_url

        try:
            store = from_url(uri.replace("s3a://", "s3://", 1))
            found = [meta for piece in obstore.list(store) for meta in piece]
        except Exception as error:  # noqa: BLE001 - obstore's errors share no public base
            self._tell(Trouble(uri, f"the bucket can't be read: {str(error).partition(chr(10))[0]}"))
            return None

        def reader(path: str) -> Callable[[], Iterator[bytes]]:
            def read() -> Iterator[bytes]:
                try:
                    for chunk in obstore.get(store, path).stream(min_chunk_size=_PIECE):
                        yield bytes(chunk)
                except Exception as error:
                    raise StorageError(
                        str(error).partition("\n")[0], where=posixpath.join(uri, path)
                    ) from error

            return read

        return [SourceFile(meta["path"], meta["size"], reader(meta["path"])) for meta in found]


def _unfit(path: Path, inside: str, top: Path) -> str:
    """Why a file can't be taken in; empty if it can."""
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(top):
            return "a link that leads out of the artifacts is not followed"
        if not path.is_file():
            return "this is no file"
        check_artifact_path(inside)
    except OSError as error:
        return error.strerror or str(error)
    except InvalidInput as error:
        return error.message
    return ""


def _pieces(path: Path) -> Iterator[bytes]:
    with storage_errors(str(path)), path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            yield piece
