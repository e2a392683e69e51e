"""The environments that a version goes through, and what lets it from one into the next. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from treadle.deploy.types import Counts, Revision, Stretch
from treadle.kernel.config import Config, EnvironmentConfig
from treadle.kernel.errors import NotFound, Refused
from treadle.kernel.names import did_you_mean
from treadle.kernel.units import parse_duration
from treadle.registry import ModelVersion, has_reached


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version can run.

    Attributes:
        name: As it is declared; empty where none is.
        key: Under which its revisions and replicas are kept; empty for the last one, so that what was
            deployed before environments were declared is in it.
        before: The environment that a version comes from; None for the first.
        asks: What a version needs to come in.
    """

    name: str = ""
    key: str = ""
    before: Environment | None = None
    asks: EnvironmentConfig = EnvironmentConfig()


def declared_environments(config: Config) -> tuple[Environment, ...]:
    """The environments that are declared, in order."""
    found: list[Environment] = []
    for name, asks in config.environments.items():
        last = len(found) + 1 == len(config.environments)
        before = found[-1] if found else None
        found.append(Environment(name=name, key="" if last else name, before=before, asks=asks))
    return tuple(found)


def environment(config: Config, name: str) -> Environment:
    """An environment by its name; the empty one means the last.

    Raises:
        NotFound: If none of that name is declared.
    """
    declared = declared_environments(config)
    if not name:
        return declared[-1] if declared else Environment()
    for one in declared:
        if one.name == name:
            return one
    hint = did_you_mean(name, config.environments)
    raise NotFound(
        f"there is no environment {name!r}",
        where="environment",
        fix=hint or f"declare it in treadle.toml: [environments.{name}]",
    )


def stretches(revisions: Iterable[Revision]) -> list[Stretch]:
    """What served from when until when in one environment, oldest first.

    Revisions of one version that follow each other are one stretch.
    """
    served = [(one.served_at, one) for one in revisions if one.served_at is not None]
    found: list[Stretch] = []
    for since, one in sorted(served, key=lambda pair: (pair[0], pair[1].revision)):
        if found and found[-1].version == one.version:
            found[-1] = msgspec.structs.replace(found[-1], revision=one.revision)
            continue
        if found:
            found[-1] = msgspec.structs.replace(found[-1], until=since)
        found.append(Stretch(version=one.version, revision=one.revision, since=since))
    return found


def lacks(
    config: Config,
    to: Environment,
    version: ModelVersion,
    stretch: Stretch | None,
    counts: Counts,
    now: datetime,
) -> list[str]:
    """What a version lacks to come into an environment, in words; nothing if it may.

    Args:
        config: The registry's stages are looked up in it.
        to: The environment.
        version: The version.
        stretch: When it served last in the environment before; None if it never did.
        counts: What came of the requests in that time.
        now: The moment.
    """
    found = []
    if to.asks.stage and not has_reached(config, version.status, to.asks.stage):
        found.append(
            f"it must have reached the stage {to.asks.stage} of the registry, and is {version.status}"
        )
    if to.before is not None:
        found += _untried(to, to.before.name, stretch, counts, now)
    return found


def _untried(
    to: Environment, before: str, stretch: Stretch | None, counts: Counts, now: datetime
) -> Iterator[str]:
    if stretch is None:
        yield f"it has not served in {before}"
        return
    asked, asks = parse_duration(to.asks.soak) if to.asks.soak else timedelta(), to.asks
    served = (stretch.until or now) - stretch.since
    if served < asked:
        yield f"it has served in {before} for {_span(served)} of {asks.soak}"
    if counts.requests < asks.min_requests:
        yield f"it has answered {counts.requests:,} of {asks.min_requests:,} requests in {before}"
    if counts.requests and counts.errors / counts.requests > asks.max_error_rate:
        yield (
            f"{counts.errors:,} of its {counts.requests:,} requests in {before} ended with an error; "
            f"{asks.max_error_rate:.3g} of them may"
        )


def _span(span: timedelta) -> str:
    minutes, seconds = divmod(max(0, int(span.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def check_lacks(to: Environment, version: ModelVersion, lacking: Sequence[str], *, tried: bool) -> None:
    """Refuses a version that lacks something.

    Args:
        to: The environment.
        version: The version.
        lacking: What it lacks.
        tried: Whether it has served in the environment before.

    Raises:
        Refused: With all of it.
    """
    if not lacking:
        return
    fix = f"treadle models approve {version.ref} --reason TEXT"
    if to.before is not None:
        there = f"--env {to.before.name}"
        fix = f"see how it does there: treadle deploy status {version.model} {there}"
        fix = fix if tried else f"treadle deploy {version.ref} {there} --reason TEXT"
    raise Refused(f"it can't go to {to.name}: {'; '.join(lacking)}", where=version.ref, fix=fix)


def check_actor(config: Config, to: Environment, actor: str, where: str) -> None:
    """Refuses somebody who may not deploy to an environment.

    Raises:
        Refused: With who may.
    """
    if not to.asks.roles:
        return
    may = sorted({member for role in to.asks.roles for member in config.teams[role].members})
    if actor not in may:
        raise Refused(
            f"{actor} can't deploy to {to.name}: that is for {' and '.join(to.asks.roles)}",
            where=where,
            fix=f"ask {', '.join(may)}" if may else f"add members to [teams.{to.asks.roles[0]}]",
        )
