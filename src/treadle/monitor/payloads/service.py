"""Pairs requests with responses, and appends what was asked and answered to the prediction log, once.

An event is kept before its sender is told so. A look makes batches of the pairs that are whole, writes down
which pairs belong to which batch, appends each batch, and removes it. A batch's identity is committed with
its rows, so a process that is killed anywhere in between appends it again or finds it appended.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from treadle.kernel.clock import Clock, SystemClock
from treadle.kernel.errors import (
    Busy,
    Conflict,
    InvalidInput,
    NotFound,
    StorageError,
    TreadleError,
    Unavailable,
)
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor.log import PredictionLog, check_model
from treadle.monitor.payloads import store
from treadle.monitor.payloads.reading import Inference, answer_of, check_side, read_pair, to_batch
from treadle.monitor.payloads.types import InferenceEvent, Pair, Side, Unpaired, check_event
from treadle.registry import ModelVersion, Registry, Signature

_log = logging.getLogger("treadle.monitor")

MOST_WAITING = 100_000
MOST_BYTES = 512 << 20
_WAIT = timedelta(hours=1)
_TELL_EVERY = timedelta(seconds=10)
_EVERY = 32  # so many events are kept between two looks at how much room is left
_AT_ONCE = 500
_BYTES_AT_ONCE = 32 << 20


class Payloads:
    """Events that other servers' loggers send.

    Args:
        workspace: Where they are kept.
        clock: Tells how long they have waited; the machine's when left out.
    """

    def __init__(self, workspace: Workspace, clock: Clock | None = None) -> None:
        self._ws = workspace
        self._clock = clock or SystemClock()
        self._predictions = PredictionLog(workspace)
        self._registry = Registry(workspace)
        self._until_look = 0
        self._told_at: datetime | None = None

    def take(self, model: str, event: InferenceEvent) -> None:
        """Keeps a request or a response until the other is there as well; one that is here is passed over.

        Whichever comes second is checked together with the first.

        Raises:
            NotFound: If there is no such model, or no version that the sender names.
            InvalidInput: If it can't be used; it is not kept then.
            Unavailable: If too many wait already.
            StorageError: If it can't be kept.
        """
        check_model(self._ws, model)
        check_event(event)
        now = self._clock.now()
        event = msgspec.structs.replace(event, at=event.at or now)
        check_side(event)
        with self._ws.database.read() as connection:
            other = store.find(connection, model, event.id, _other(event))
        version = None
        if other is not None:
            request, response = (event, other) if event.side == "request" else (other, event)
            version = self._check(Pair(model, request, response))
        self._make_room()
        with self._ws.database.write() as connection:
            store.keep(connection, model, event, now, version)

    def tell_refused(self, model: str, error: TreadleError) -> None:
        """Writes to the log why an event was refused, at most every ten seconds: senders seldom tell."""
        now = self._clock.now()
        if self._told_at is None or abs(now - self._told_at) >= _TELL_EVERY:
            self._told_at = now
            _log.warning("an inference event of %r was refused: %s", model, error)

    def unpaired(self, model: str) -> Unpaired:
        """What waits for its other side.

        Raises:
            NotFound: If there is no such model.
        """
        check_model(self._ws, model)
        with self._ws.database.read() as connection:
            return store.unpaired(connection, model)

    def settle(self) -> int:
        """Appends every pair that is whole to the log; removes what has waited too long.

        Returns:
            How many predictions were appended.

        Raises:
            Busy: If a log didn't let it through; what wasn't reached stays.
            StorageError: If a store can't be read or written; what wasn't reached stays.
        """
        rows = self._append()  # what a killed process had begun
        while self._claim():
            rows += self._append()
        self._expire()
        return rows

    # ── a pair ───────────────────────────────────────────────────────────

    def _check(self, pair: Pair) -> int:
        """The version that answered, if the pair can be logged."""
        answer = answer_of(pair)
        version = self._version(pair, answer.number())
        found = read_pair(pair, answer, _signature(version))
        self._predictions.check(pair.model, to_batch(f"event:{found.id}", version.number, [found]))
        return version.number

    def _version(self, pair: Pair, told: int | None) -> ModelVersion:
        """What the sender says, else what the response says, else what was in production."""
        if pair.version is not None:
            return self._registry.get(f"{pair.model}/{pair.version}")
        if told:
            try:
                return self._registry.get(f"{pair.model}/{told}")
            except NotFound:
                pass  # the other server counts its own versions
        found = self._registry.production(pair.model, pair.request.at)
        if found is None:
            raise InvalidInput(
                f"which version of {pair.model} answered is not known: the response names none that is "
                "registered, and none was in production then",
                where=f"id {pair.request.id}",
                fix="name it in the logger's url: ?version=3",
            )
        return found

    # ── room ─────────────────────────────────────────────────────────────

    def _make_room(self) -> None:
        self._until_look -= 1
        if self._until_look > 0:
            return
        with self._ws.database.read() as connection:
            count, size = store.waiting(connection)
        if count >= MOST_WAITING or size >= MOST_BYTES:
            raise Unavailable(
                f"{count:,} requests and responses of {size >> 20:,} MiB wait for each other; "
                f"at most {MOST_WAITING:,} or {MOST_BYTES >> 20} MiB may",
                fix="see that `treadle up` runs, and that loggers send both (mode: all)",
            )
        self._until_look = min(_EVERY, MOST_WAITING - count)

    # ── pairs into the log ───────────────────────────────────────────────

    def _claim(self) -> bool:
        """Makes batches of pairs; False if there are none."""
        with self._ws.database.read() as connection:
            pairs = store.whole_pairs(connection, _AT_ONCE, _BYTES_AT_ONCE)
        good: dict[tuple[str, int], list[str]] = {}
        bad: dict[str, list[tuple[str, TreadleError]]] = {}
        for one in pairs:
            try:
                version = one.version or self._unchecked(one)
            except (InvalidInput, NotFound) as error:
                bad.setdefault(one.model, []).append((one.event, error))
            else:
                if version is not None:
                    good.setdefault((one.model, version), []).append(one.event)
        with self._ws.database.write() as connection:
            for (model, version), ids in good.items():
                batch = f"{self._ws.ids.new('payloads')}:{version}"
                store.claim(connection, store.Claimed(batch, model, version), ids)
            for model, found in bad.items():
                store.forget(connection, model, [one for one, _ in found])
                record(
                    connection, self._refused(model, self._ws.ids.new("payloads"), len(found), found[0][1])
                )
        return bool(pairs)

    def _unchecked(self, one: store.Whole) -> int | None:
        """The version of a pair whose sides came at one moment; None if another process took the pair."""
        with self._ws.database.read() as connection:
            pair = store.find_pair(connection, one.model, one.event)
        return None if pair is None else self._check(pair)

    def _append(self) -> int:
        with self._ws.database.read() as connection:
            batches = store.claimed(connection)
        return sum(self._append_one(one) for one in batches)

    def _append_one(self, one: store.Claimed) -> int:
        with self._ws.database.read() as connection:
            pairs = store.pairs_of(connection, one.batch)
        rows, refused = 0, None
        if pairs:
            try:
                batch = to_batch(one.batch, one.version, self._read(one, pairs))
                self._predictions.append(one.model, batch)
                rows = len(batch.ids)
            except Busy:
                raise
            except (InvalidInput, NotFound, Conflict) as error:  # never will they fit
                refused = self._refused(one.model, one.batch, len(pairs), error)
        with self._ws.database.write() as connection:
            store.forget_batch(connection, one.batch)
            if refused:
                record(connection, refused)
        return rows

    def _read(self, one: store.Claimed, pairs: Sequence[Pair]) -> list[Inference]:
        signature = _signature(self._registry.get(f"{one.model}/{one.version}"))
        return [read_pair(pair, answer_of(pair), signature) for pair in pairs]

    def _refused(self, model: str, batch: str, count: int, error: TreadleError) -> Event:
        why = f"{error.where}: {error.message}" if error.where else error.message
        inferences = "inference" if count == 1 else "inferences"
        message = f"{count:,} {inferences} that another server logged can't be kept: {why}"
        _log.warning("%s: %s", model, message)
        return self._event(
            f"payloads-refused:{batch}", model, "payloads_refused", message, {"count": str(count)}
        )

    # ── what waits in vain ───────────────────────────────────────────────

    def _expire(self) -> None:
        """Removes what has waited for an hour; once an hour, so that the timeline has one line of it."""
        now = self._clock.now()
        with self._ws.database.read() as connection:
            first = store.oldest(connection)
        if first is None or now - first < 2 * _WAIT:
            return
        with self._ws.database.write() as connection:
            gone = store.expire(connection, now - _WAIT)
            for model in sorted({one.model for one in gone}):
                record(connection, self._lone(model, gone, now))

    def _lone(self, model: str, gone: Sequence[store.Lone], now: datetime) -> Event:
        counts: dict[str, int] = {one.side: one.events for one in gone if one.model == model}
        told = [f"{count:,} {side}{'s' if count > 1 else ''}" for side, count in sorted(counts.items())]
        message = f"{' and '.join(told)} of other servers waited an hour for the other side, and were removed"
        facts = {side: str(count) for side, count in counts.items()}
        name = f"payloads-expired:{model}:{now:%Y%m%dT%H%M%S.%f}"
        return self._event(name, model, "payloads_expired", message, facts)

    def _event(self, name: str, model: str, kind: str, message: str, facts: dict[str, str]) -> Event:
        return Event(
            id=name,
            at=self._ws.clock.now(),
            recorded_at=SystemClock().now(),
            subject=f"model:{model}",
            kind=kind,
            actor="monitor",
            message=message,
            facts=facts,
        )


def settle_payloads(workspace: Workspace) -> None:
    """Appends the pairs that are whole, before monitors look; a store that fails doesn't stop them."""
    try:
        Payloads(workspace).settle()
    except (StorageError, Busy) as error:
        _log.warning("inferences of other servers were not logged yet: %s", error)


def _other(event: InferenceEvent) -> Side:
    return "response" if event.side == "request" else "request"


def _signature(version: ModelVersion) -> Signature:
    if version.signature is None:
        raise InvalidInput("the version has no signature, so its inputs can't be read", where=version.ref)
    return version.signature
