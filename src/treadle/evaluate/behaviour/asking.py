"""Asking many questions: several at once, no faster than allowed, again where that helps, within a budget."""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from treadle.evaluate.behaviour.targets.port import Call, Target
from treadle.evaluate.behaviour.types import Answered, ErrorKind, Reply, Usage
from treadle.kernel.config import TargetConfig
from treadle.kernel.errors import TreadleError
from treadle.kernel.ids import digest_bytes
from treadle.kernel.units import parse_duration

AGAIN: frozenset[ErrorKind] = frozenset({"timeout", "rate_limited", "server", "connection"})
LONGEST_WAIT = 600.0
"""Who wants to be asked again only after more seconds than this isn't."""

_ROUNDING = 1e-9
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_AHEAD = 8
_PATIENCE = 0.5


class Budget:
    """What may be spent. A call is begun only if it, too, will probably be paid for.

    Args:
        limit: The most; None without one.
        spent: What was spent before.
    """

    def __init__(self, limit: float | None, spent: float = 0.0) -> None:
        self.limit, self.spent = limit, spent
        self._dearest, self._under_way = 0.0, 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether another call may begin."""
        with self._lock:
            reserved = self.spent + (self._under_way + 1) * self._dearest
            if self.limit is not None and (
                self.spent >= self.limit or reserved > self.limit * (1 + _ROUNDING)
            ):
                return False
            self._under_way += 1
            return True

    def settle(self, cost: float) -> None:
        """Says what a call did cost."""
        with self._lock:
            self._under_way -= 1
            self.spent += cost
            self._dearest = max(self._dearest, cost)


class Pacer:
    """Lets calls begin no faster than allowed, and holds all of them back while a target asks for it.

    Args:
        rate: How many may begin in a minute; None for any number.
        stop: Ends every wait.
    """

    def __init__(self, rate: float | None, stop: threading.Event) -> None:
        self._gap = 60.0 / rate if rate else 0.0
        self._stop = stop
        self._next = self._until = 0.0
        self._lock = threading.Lock()

    def wait(self) -> bool:
        """Waits for its turn; False if everything stops."""
        while not self._stop.is_set():
            with self._lock:
                turn = max(self._next, self._until, time.monotonic())
                self._next = turn + self._gap
            if self._stop.wait(max(turn - time.monotonic(), 0)):
                return False
            if self._until <= turn:
                return True
        return False

    def hold(self, seconds: float) -> None:
        """Lets nobody begin for a while."""
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)


def price(config: TargetConfig, usage: Usage) -> float:
    """What a call costs."""
    tokens = usage.input_tokens * config.input_price + usage.output_tokens * config.output_price
    return config.call_price + tokens / 1e6


def identity(config: TargetConfig, code: str) -> str:
    """Identifies what is asked, and with what; not how fast, nor at what price.

    Args:
        config: What is declared of it.
        code: Identifies the code of a function.
    """
    limits = ("timeout", "retries", "concurrency", "rate", "input_price", "output_price", "call_price")
    plain = {key: value for key, value in msgspec.to_builtins(config).items() if key not in limits}
    return digest_bytes(msgspec.json.encode((plain, code), order="deterministic"))


class Asker:
    """Asks one target, patiently.

    Args:
        of: What it is: ``target``, ``baseline``, or a judge of a scorer.
        target: It.
        config: Its limits and prices.
        stop: Ends every wait.
        pause: The first pause before a second try, in seconds; later ones are twice as long each.
    """

    def __init__(
        self,
        of: str,
        target: Target,
        config: TargetConfig,
        stop: threading.Event,
        pause: float = _FIRST_PAUSE,
    ) -> None:
        self.of, self.target, self.config = of, target, config
        self._stop, self._pause = stop, pause
        self._pacer = Pacer(config.rate, stop)
        self._timeout = parse_duration(config.timeout).total_seconds()
        self._retries = 0 if config.call is not None else config.retries
        self.identity = identity(config, getattr(target, "code", ""))
        self._random = random.Random(0)  # noqa: S311 - only spreads retries

    def ask(self, call: Call) -> Answered | None:
        """Asks until there is an answer, or an error that stays; None if everything stops before that."""
        found = self.again(lambda timeout: self.target.ask(call, timeout))
        if found is None:
            return None
        reply, cost = found
        return Answered(
            of=self.of, key=call.key, repeat=call.repeat, reply=reply, cost=cost, at=round(time.time(), 3)
        )

    def again(self, once: Callable[[float], Reply]) -> tuple[Reply, float] | None:
        """Does something until there is an answer, or an error that stays; tells what all of it cost."""
        cost = 0.0
        for tries in range(1, self._retries + 2):
            if not self._pacer.wait():
                return None
            reply = once(self._timeout)
            cost += price(self.config, reply.usage)
            wait = reply.retry_after
            if reply.error not in AGAIN or tries > self._retries or (wait or 0) > LONGEST_WAIT:
                return msgspec.structs.replace(reply, tries=tries, retry_after=None), cost
            if wait is not None and reply.error in {"rate_limited", "server"}:
                self._pacer.hold(wait)
            else:
                longest = min(self._pause * 2 ** (tries - 1), _LONGEST_PAUSE)
                if self._stop.wait(longest * (0.5 + self._random.random() / 2)):
                    return None
        raise AssertionError  # the last try returns


_Arrived = queue.Queue[Answered | BaseException | None]


class Job(NamedTuple):
    """Questions for one target, in the order in which they are asked.

    Attributes:
        asker: Who asks.
        calls: The questions.
    """

    asker: Asker
    calls: Sequence[Call]


def ask_all(
    jobs: Sequence[Job],
    budget: Budget,
    stop: threading.Event,
    take: Callable[[Answered], None],
    look: Callable[[], None] = lambda: None,
) -> bool:
    """Asks all questions of all jobs, those of different targets side by side.

    Args:
        jobs: The questions.
        budget: What may be spent.
        stop: Set to stop: what is under way comes to its end, and nothing new begins.
        take: Given each answer as it comes, on the caller's own thread.
        look: Called there again and again; what it raises ends the asking without waiting for anybody.

    Returns:
        Whether all were asked; False if the budget ended it, or somebody stopped it.
    """
    arrived, left_alone = _Arrived(_AHEAD), threading.Event()

    def put(what: Answered | BaseException | None) -> None:
        while not left_alone.is_set():  # whoever takes them may be slow, or gone
            with contextlib.suppress(queue.Full):
                arrived.put(what, timeout=_PATIENCE)
                break

    threads = 0
    for job in jobs:
        hand_out = _HandOut(iter(job.calls))
        for _ in range(min(job.asker.config.concurrency, len(job.calls))):
            args = (job.asker, hand_out, budget, stop, put)
            threading.Thread(target=_work, args=args, daemon=True).start()
            threads += 1
    try:
        return _taken(arrived, threads, take, look)
    except BaseException:
        stop.set()
        left_alone.set()
        with contextlib.suppress(TreadleError):
            while not arrived.empty():  # what was paid for is kept, also if somebody interrupts
                if isinstance(left := arrived.get(), Answered):
                    take(left)
        raise


def _taken(
    arrived: _Arrived, threads: int, take: Callable[[Answered], None], look: Callable[[], None]
) -> bool:
    """Takes what arrives until all threads have ended; whether all of them had nothing more to ask."""
    complete = True
    while threads:
        look()
        try:
            found = arrived.get(timeout=_PATIENCE)
        except queue.Empty:
            continue
        if isinstance(found, Answered):
            take(found)
        else:
            threads -= 1
            complete = not _ended_early(found) and complete
    return complete


def _ended_early(end: BaseException | None) -> bool:
    """Whether a thread ended before all was asked; what broke it is raised."""
    if end is not None and not isinstance(end, _Unfinished):
        raise end
    return end is not None


class _Unfinished(Exception):
    """A thread that had more to ask and mustn't."""


class _HandOut:
    """Gives out calls, one at a time, to several threads."""

    def __init__(self, calls: Iterator[Call]) -> None:
        self._calls, self._lock = calls, threading.Lock()
        self._next = next(calls, None)

    def take(self, may: Callable[[], bool]) -> Call | None:
        """The next call if there is one and it may begin.

        Raises:
            _Unfinished: If there is one and it mustn't.
        """
        with self._lock:
            call = self._next
            if call is None:
                return None
            if not may():
                raise _Unfinished
            self._next = next(self._calls, None)
            return call


def _work(
    asker: Asker,
    hand_out: _HandOut,
    budget: Budget,
    stop: threading.Event,
    put: Callable[[Answered | BaseException | None], None],
) -> None:
    end: BaseException | None = None
    try:
        while call := hand_out.take(lambda: not stop.is_set() and budget.take()):
            found = asker.ask(call)
            budget.settle(found.cost if found else 0.0)
            if found is None:
                raise _Unfinished  # noqa: TRY301 - it ends as any other that mustn't go on
            put(found)
    except BaseException as error:  # noqa: BLE001 - raised again on the caller's own thread
        end = error
    put(end)


def at_once(
    work: Iterable[Callable[[], None]],
    width: int,
    stop: threading.Event,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Does several things at once, on threads that don't outlive the process.

    Args:
        work: What to do.
        width: How many at once.
        stop: Set to begin nothing new.
        look: Called again and again; what it raises ends it without waiting for what is under way.
    """
    left = iter(work)
    lock = threading.Lock()
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def go() -> None:
        end: BaseException | None = None
        try:
            while not stop.is_set():
                with lock:
                    one = next(left, None)
                if one is None:
                    break
                one()
        except BaseException as error:  # noqa: BLE001 - raised again on the caller's own thread
            end = error
            stop.set()
        ended.put(end)

    for _ in range(width):
        threading.Thread(target=go, daemon=True).start()
    errors: list[BaseException] = []
    under_way = width
    try:
        while under_way:
            look()
            with contextlib.suppress(queue.Empty):
                errors += filter(None, [ended.get(timeout=_PATIENCE)])
                under_way -= 1
    except BaseException:
        stop.set()
        raise
    if errors:
        raise errors[0]
