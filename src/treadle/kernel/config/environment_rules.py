"""What ``[environments]`` can't say: keys that are right by themselves and don't fit where they stand."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from treadle.kernel.config.deploy import EnvironmentConfig
from treadle.kernel.config.schema import Config
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import check_name, did_you_mean

_OF_THE_ONE_BEFORE = ("soak", "min_requests", "max_error_rate")


class Misplaced(msgspec.Struct, frozen=True):
    """What is wrong, at which keys of the file, and what to do."""

    keys: tuple[str, ...]
    message: str
    fix: str


def misplaced(config: Config) -> Misplaced | None:
    """The first thing that doesn't fit; None if all does."""
    return next(_misplaced(config), None)


def _misplaced(config: Config) -> Iterator[Misplaced]:
    names = list(config.environments)
    for name, environment in config.environments.items():
        keys = ("environments", name)
        try:
            check_name("environment", name)
        except InvalidInput as error:
            yield Misplaced(keys, error.message, error.fix or "choose another name")
        if name == names[0]:
            yield from _of_the_first(keys, environment)
        if name == names[-1] and environment.port is not None:
            yield Misplaced(
                (*keys, "port"),
                f"{name} is the last environment, and answers at the port of [serve]",
                "set [serve] port",
            )
        yield from _references(config, keys, environment)


def _of_the_first(keys: tuple[str, ...], environment: EnvironmentConfig) -> Iterator[Misplaced]:
    standard = EnvironmentConfig()
    for key in _OF_THE_ONE_BEFORE:
        if getattr(environment, key) != getattr(standard, key):
            yield Misplaced(
                (*keys, key),
                f"`{key}` is asked of the environment before, and {keys[-1]} is the first",
                "write it in a later one, or declare one before it",
            )


def _references(config: Config, keys: tuple[str, ...], environment: EnvironmentConfig) -> Iterator[Misplaced]:
    stages = config.registry.stages
    if environment.stage is not None and environment.stage not in stages:
        yield Misplaced(
            (*keys, "stage"),
            f"`stage` names {environment.stage!r}, which no [registry.stages.*] table describes",
            did_you_mean(environment.stage, stages) or f"add [registry.stages.{environment.stage}]",
        )
    if environment.stage == "production":
        yield Misplaced(
            (*keys, "stage"),
            "a version reaches `production` by being deployed to the last environment",
            "leave `stage` out: the last environment takes what [registry.stages.production] asks for",
        )
    for role in environment.roles:
        if role not in config.teams:
            yield Misplaced(
                (*keys, "roles"),
                f"`roles` names {role!r}, which no [teams.*] table describes",
                did_you_mean(role, config.teams) or f"add [teams.{role}] with its members",
            )
