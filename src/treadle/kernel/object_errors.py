"""What object stores say when they fail, in Treadle's errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from treadle.kernel.errors import NotFound, StorageError, StorageFull, TreadleError

_FULL = ("No space left", "os error 28", "os error 122", "QuotaExceeded", "507 Insufficient Storage")

_DENIED = (
    "401 Unauthorized",
    "403 Forbidden",
    "Unauthenticated",
    "PermissionDenied",
    "lacks the necessary privileges",
)
# Which key was asked for, how long it took and how it was retried: noise to whoever reads the error.
_ATTEMPT = re.compile(r"Error performing (\w+) \S+ in [^-]*- ")


@contextlib.contextmanager
def object_errors(digest: str, name: str) -> Iterator[None]:
    """Turns obstore's errors inside the block into Treadle's.

    Args:
        digest: Which blob is asked for.
        name: What the store is called in errors.

    Raises:
        NotFound: If it isn't there.
        StorageFull: If no space is left.
        StorageError: For everything else.
    """
    try:
        yield
    except TreadleError:
        raise
    except FileNotFoundError:
        raise NotFound(f"blob {digest[:12]} is not in the store", where=name) from None
    except Exception as error:  # obstore's errors share no public base with OSError
        text = str(error)
        if any(sign in text for sign in _FULL):
            raise StorageFull(
                "no space is left in the blob store", where=name, fix="free some space and retry"
            ) from error
        first = _ATTEMPT.sub(r"\1: ", text.partition("\n")[0])
        fix = "see that it answers and that [store] is right; `treadle doctor` tries it"
        if any(sign in text for sign in _DENIED):
            fix = "check the keys in [store] options or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise StorageError(f"the blob store failed: {first}", where=name, fix=fix) from error
