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
_NO_HTTP = "builder error"  # all that reqwest says of an address that it may not use

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
        fix = "if it was, restore the store from its backup, or get data back: treadle data verify --repair"
        raise NotFound(f"blob {digest[:12]} is not in the store", where=name, fix=fix) from None
    except Exception as error:  # obstore's errors share no public base with OSError
        if any(sign in str(error) for sign in _FULL):
            raise StorageFull(
                "no space is left in the blob store", where=name, fix="free some space and retry"
            ) from error
        fix = "see that it answers and that treadle.toml has its URL and options right"
        raise store_failed(error, name, "the blob store", fix) from error


def store_failed(
    error: Exception, where: str, what: str = "the bucket", fix: str = "see that it is there and answers"
) -> StorageError:
    """What an object store said, in one line, and what to do about it.

    Args:
        error: obstore's error.
        where: What the store or the object is called.
        what: What failed.
        fix: What to do unless it is the keys.
    """
    text = str(error)
    first = _ATTEMPT.sub(r"\1: ", text.partition("\n")[0])
    if _NO_HTTP in text:
        fix = 'an endpoint of http:// needs allow_http = "true" among its options, or AWS_ALLOW_HTTP=true'
    if any(sign in text for sign in _DENIED):
        fix = "check the keys: options in treadle.toml, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return StorageError(f"{what} failed: {first}", where=where, fix=fix)
