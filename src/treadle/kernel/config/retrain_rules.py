"""What ``[retrain]`` can't say: values that are right by themselves and don't fit each other."""

from __future__ import annotations

from importlib.util import find_spec

import msgspec

from treadle.kernel.config.retrain import RetrainConfig, TriggerConfig, WindowConfig

_KEYS: dict[str, tuple[str, ...]] = {
    "cron": ("schedule",),
    "timezone": ("schedule",),
    "excess": ("drift",),
    "rows": ("data",),
    "bytes": ("data",),
    "secret": ("webhook",),
}
_FIELDS = 5


class Wrong(msgspec.Struct, frozen=True):
    """What is wrong, below which keys of ``[retrain]``, and what to do."""

    keys: tuple[str, ...]
    message: str
    fix: str


def wrong(config: RetrainConfig, *, sliding: bool = False) -> Wrong | None:
    """The first thing that doesn't fit; None if all does.

    Args:
        config: The ``[retrain]`` table.
        sliding: Whether ``[train] window`` is declared.
    """
    found = _wrong_window(config.window, sliding=sliding)
    if found is not None:
        return msgspec.structs.replace(found, keys=("window", *found.keys))
    for name, trigger in config.triggers.items():
        found = _wrong_keys(trigger) or _wrong_schedule(trigger) or _wrong_amount(trigger)
        if found is not None:
            return msgspec.structs.replace(found, keys=("triggers", name, *found.keys))
    return None


def _wrong_window(window: WindowConfig, *, sliding: bool) -> Wrong | None:
    for key, policy in (("half_life", "weighted"), ("least", "since-change")):
        if getattr(window, key) is not None and window.policy != policy:
            return Wrong(
                (key,), f"policy {window.policy!r} has no `{key}`", f"that is for policy = {policy!r}"
            )
    if window.policy == "weighted" and window.half_life is None:
        return Wrong((), "weighted rows need `half_life`", 'say when a row counts for half, such as "60d"')
    if window.policy == "expanding" and sliding:
        fix = 'leave `window` out of [train], or say policy = "sliding"'
        return Wrong(("policy",), "an expanding window learns from everything, and [train] has a window", fix)
    return None


def _wrong_keys(trigger: TriggerConfig) -> Wrong | None:
    plain = TriggerConfig(on=trigger.on)
    for key, kinds in _KEYS.items():
        if trigger.on not in kinds and getattr(trigger, key) != getattr(plain, key):
            return Wrong(
                (key,), f"a trigger on {trigger.on!r} has no `{key}`", f"that is for on = {kinds[0]!r}"
            )
    if trigger.on == "webhook" and not (trigger.secret.isidentifier() and trigger.secret.isascii()):
        fix = "name the variable that holds the secret, not the secret"
        return Wrong(("secret",), "no environment variable can have that name", fix)
    return None


def _wrong_schedule(trigger: TriggerConfig) -> Wrong | None:
    if trigger.on != "schedule":
        return None
    fix = 'write minute, hour, day, month and day of the week, such as "0 3 * * 1"'
    if not trigger.cron:
        return Wrong((), "a schedule needs `cron`", fix)
    if len(trigger.cron.split()) != _FIELDS or not _is_cron(trigger.cron):
        return Wrong(("cron",), f"{trigger.cron!r} is no time that cron knows", fix)
    from zoneinfo import ZoneInfo  # not needed by a training

    try:
        ZoneInfo(trigger.timezone)
    except (OSError, ValueError, KeyError):  # KeyError: ZoneInfoNotFoundError is one
        return Wrong(
            ("timezone",), f"there is no time zone {trigger.timezone!r}", 'name one such as "Europe/Berlin"'
        )
    return None


def _is_cron(text: str) -> bool:
    """Whether cron knows the time; the thin client only counts its fields."""
    if find_spec("croniter") is None:
        return True
    from croniter import croniter

    return bool(croniter.is_valid(text))


def _wrong_amount(trigger: TriggerConfig) -> Wrong | None:
    if trigger.on == "data" and trigger.rows is None and trigger.bytes is None:
        return Wrong(
            (), "a trigger on data needs `rows` or `bytes`", "say how much makes a cycle worth while"
        )
    return None
