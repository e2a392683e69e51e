"""Writes of requests, in the event loop's own thread where nobody has to wait for that."""

from __future__ import annotations

import asyncio
from typing import Any

from treadle.experiment import MetricWriter, Write
from treadle.kernel.errors import TreadleError


class Turns:
    """Has writes done: at once for a client that is alone, by the writer's thread, in groups, for several.

    To hand over to a thread and back costs as much as a short transaction. But while the event
    loop writes, it answers nobody else.

    Args:
        writer: Writes them.
    """

    def __init__(self, writer: MetricWriter) -> None:
        self._writer = writer
        self._last: object = None

    async def write(self, write: Write, client: object) -> Any:
        """What a write came to, once that is durable.

        Args:
            write: What is to be written.
            client: Whose connection it came by.

        Raises:
            TreadleError: As the futures of :class:`treadle.experiment.MetricWriter` tell.
        """
        alone, self._last = client == self._last, client
        outcomes = self._writer.write_now([write]) if alone else None
        if outcomes is None:
            return await asyncio.wrap_future(self._writer.submit(write))
        if isinstance(outcomes[0], TreadleError):
            raise outcomes[0]
        return outcomes[0]
