"""What the client asks to move versions from one Treadle to another."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import msgspec

from treadle.client.calls import Calls
from treadle.kernel.errors import InvalidInput, TreadleError, Unavailable
from treadle.kernel.files import replacing
from treadle.registry import sign_archive
from treadle.registry.types import ModelVersion

_PIECE = 1 << 20


class ArchiveCalls(Calls):
    """Calls of the routes of archives."""

    def export_model(self, ref: str, path: Path, key: Path | None = None) -> int:
        """Writes a version and all that it consists of to a file, atomically; how many bytes it has.

        Args:
            ref: The version.
            path: Where to.
            key: Signs it: a private ed25519 key of OpenSSH, which stays on this machine.

        Raises:
            Unavailable: If the answer broke off, or there is no ``ssh-keygen``; the file stays as it was.
            InvalidInput: If the key can't sign.
        """
        if key is not None and not key.is_file():
            raise InvalidInput("there is no such key", where=str(key), fix="give an ed25519 key of OpenSSH")
        answer = self._send("GET", f"/v1/model/archive?{urlencode({'ref': ref})}")
        size = 0
        with replacing(path) as temporary, temporary.open("wb") as file:
            for piece in answer.body:
                size += file.write(piece)
            if str(size) != answer.headers.get("content-length", str(size)):
                raise Unavailable("the answer broke off", where=self.server, fix="try again")
            file.close()
            if key is not None:
                sign_archive(temporary, key)
                size = temporary.stat().st_size
        return size

    def import_model(self, path: Path, model: str | None = None) -> ModelVersion:
        """Takes in a version that another Treadle exported; the same one if it is here already.

        Raises:
            InvalidInput: If the file can't be read, or is no archive that is whole.
        """
        from treadle.client.client import actor

        query = urlencode({"actor": actor()} | ({"model": model} if model else {}))
        try:
            opened = path.open("rb")
        except OSError as error:
            raise InvalidInput(f"it can't be read: {error.strerror}", where=str(path)) from None
        with opened as file:
            pieces = iter(lambda: file.read(_PIECE), b"")
            raw = self._send("POST", f"/v1/model/archive?{query}", pieces).read()
        try:
            return msgspec.json.decode(raw, type=ModelVersion)
        except msgspec.DecodeError as error:
            raise TreadleError(f"the answer can't be read: {error}", where=self.server) from error
