"""Waiting for a job of the server: asked again and again, the less often the longer it takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from treadle.kernel.errors import ErrorBody, NotFound, TreadleError, Unavailable, from_body

_FIRST_PAUSE, _PAUSE = 0.01, 0.5
_SHARE = 0.05  # of the time that it takes, at most, is added by looking
_PATIENCE = 15.0  # seconds; a restart of the server within them is noticed as such


class Job(Protocol):
    """What can be waited for."""

    @property
    def id(self) -> str:
        """Its identity."""

    @property
    def state(self) -> str:
        """``running`` until it has ended."""

    @property
    def error(self) -> ErrorBody | None:
        """What it has failed with."""


J = TypeVar("J", bound=Job)


def followed(job: J, again: Callable[[str], J], lost: Unavailable) -> Iterator[J]:
    """The job again and again until it has ended.

    Args:
        job: As it begins.
        again: Asks how it stands.
        lost: What to raise if the server was started again meanwhile, and the job ended with it.

    Raises:
        Unavailable: If the server is away for longer than a restart takes, or was started again.
    """
    begun = heard = time.monotonic()
    yield job
    while job.state == "running":
        time.sleep(min(max((time.monotonic() - begun) * _SHARE, _FIRST_PAUSE), _PAUSE))
        try:
            job = again(job.id)
        except NotFound:
            raise lost from None
        except Unavailable:
            if time.monotonic() - heard > _PATIENCE:
                raise
            continue
        heard = time.monotonic()
        yield job


def finished(
    job: J,
    again: Callable[[str], J],
    cancel: Callable[[str], J],
    lost: Unavailable,
    follow: Callable[[J], None] | None,
) -> J:
    """The job once it has ended well; who interrupts this stops it.

    Args:
        job: As it begins.
        again: Asks how it stands.
        cancel: Stops it.
        lost: What to raise if the server was started again meanwhile, and the job ended with it.
        follow: Told again and again how far it is, the last time when it has ended.

    Raises:
        Unavailable: If the server is away for longer than a restart takes, or was started again.
        TreadleError: Whatever the job has failed with.
    """
    try:
        for found in followed(job, again, lost):
            job = found
            if follow:
                follow(job)
    except BaseException:
        with contextlib.suppress(TreadleError):
            job = cancel(job.id)
        if follow:
            follow(job)
        raise
    if job.error is not None:
        raise from_body(job.error)
    return job
