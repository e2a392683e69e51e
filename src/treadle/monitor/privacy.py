"""What the log keeps of an input: its value, a keyed hash of it, or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from treadle.kernel.config.monitor import ColumnConfig
from treadle.kernel.errors import StorageError
from treadle.monitor.profile import Shape
from treadle.monitor.types import CategoryProfile, Value

_BYTES = 16
_KEY = 32


class Concealment:
    """Conceals inputs as ``[monitor.columns.NAME] keep`` says.

    Hashes are BLAKE2b with a key that is made when it is first needed and stays in the project's
    ``.treadle/log.key``: without it the texts behind them can't be guessed one by one.

    Args:
        columns: ``[monitor.columns]``.
        key: Where the key is.
    """

    def __init__(self, columns: Mapping[str, ColumnConfig], key: Path) -> None:
        self._columns = columns
        self._path = key

    def keep(self, name: str, values: Sequence[Value], *, text: bool) -> Sequence[Value]:
        """What is kept of an input's values. Of numbers that should be hashed nothing is."""
        how = self._how(name)
        if how == "value":
            return values
        if how == "nothing" or not text:
            return [None] * len(values)
        hashes: dict[Value, str] = {
            value: self.hash(str(value)) for value in set(values) if value is not None
        }
        return [None if value is None else hashes[value] for value in values]

    def shape(self, name: str, shape: Shape) -> Shape:
        """A profile as values are kept: its texts hashed where theirs are."""
        if self._how(name) != "hash" or not isinstance(shape, CategoryProfile):
            return shape
        return msgspec.structs.replace(shape, counts={self.hash(k): v for k, v in shape.counts.items()})

    def hash(self, value: str) -> str:
        """A text's hash, in hexadecimal digits."""
        return hashlib.blake2b(value.encode(), digest_size=_BYTES, key=self._secret).hexdigest()

    def plain(self, name: str) -> bool:
        """Whether an input's own values are kept."""
        return self._how(name) == "value"

    def _how(self, name: str) -> str:
        return self._columns[name].keep if name in self._columns else "value"

    @cached_property
    def _secret(self) -> bytes:
        if not self._path.exists():
            made = self._path.with_suffix(f".{secrets.token_hex(4)}")
            made.touch(0o600)
            made.write_bytes(secrets.token_bytes(_KEY))
            with contextlib.suppress(FileExistsError):  # another process was first
                os.link(made, self._path)
            made.unlink()
        found = self._path.read_bytes()
        if len(found) != _KEY:
            raise StorageError(
                "the key of the log's hashes is damaged",
                where=str(self._path),
                fix="put it back from a backup, or move it away: new hashes won't match the old ones then",
            )
        return found
