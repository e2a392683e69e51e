"""A file in a form (multipart/form-data, RFC 7578), read as it comes."""

from __future__ import annotations

import re
from collections.abc import Callable

from treadle.kernel.errors import InvalidInput

_BOUNDARY = re.compile(r'multipart/form-data\s*;.*?boundary="?([^";,]{1,70})"?', re.IGNORECASE)
_TYPE = re.compile(rb"content-type:[ \t]*([\x21-\x7e ]{1,200})", re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:[^\r\n]*[; ]name="?content"?[;\r\n]', re.IGNORECASE)
_MOST = 16 << 10


def boundary_of(content_type: str) -> bytes:
    """What parts a form, by its media type; empty if it isn't a form's."""
    found = _BOUNDARY.match(content_type)
    return found[1].encode("latin-1") if found else b""


class FormFile:
    """Finds the field ``content`` of a form that has no other.

    Args:
        write: Takes the field's bytes.
        boundary: What parts the form.

    Attributes:
        content_type: The field's media type, if it was told.
    """

    def __init__(self, write: Callable[[bytes], None], boundary: bytes) -> None:
        self._write = write
        self._mark = b"--" + boundary
        self._waiting = b""
        self._begun = self._done = False
        self.content_type = ""

    def write(self, data: bytes) -> None:
        """Takes a piece of the form.

        Raises:
            InvalidInput: If it isn't such a form.
        """
        if self._done:
            return
        self._waiting += data
        if not self._begun and not self._begin():
            return
        end = self._waiting.find(b"\r\n" + self._mark)
        self._done = end >= 0
        keep = 0 if self._done else len(self._mark) + 1
        cut = end if self._done else max(0, len(self._waiting) - keep)
        self._write(self._waiting[:cut])
        self._waiting = self._waiting[cut:]

    def _begin(self) -> bool:
        head, found, rest = self._waiting.partition(b"\r\n\r\n")
        if not found:
            if len(head) > _MOST:
                raise self._odd()
            return False
        if not head.startswith(self._mark) or not _NAME.search(head + b"\r\n"):
            raise self._odd()
        kind = _TYPE.search(head)
        self.content_type = kind[1].decode().strip() if kind else ""
        self._begun, self._waiting = True, rest
        return True

    def finish(self) -> None:
        """Checks that the whole field came.

        Raises:
            InvalidInput: If it was cut off.
        """
        if not self._done:
            raise self._odd() if not self._begun else InvalidInput("the form is cut off")

    @staticmethod
    def _odd() -> InvalidInput:
        return InvalidInput(
            "the form has no field `content`", fix="send the bytes as they are: application/octet-stream"
        )
