"""Reading ``treadle.toml``: every mistake is answered with its line and the nearest right name."""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec

from treadle.kernel.config.base import METRICS, SERVED, Metric
from treadle.kernel.config.behaviour_rules import problems
from treadle.kernel.config.environment_rules import misplaced
from treadle.kernel.config.monitor import ColumnConfig
from treadle.kernel.config.retrain_rules import wrong
from treadle.kernel.config.schema import Config, TrainConfig
from treadle.kernel.errors import ConfigError, InvalidInput, NotFound
from treadle.kernel.names import check_name, did_you_mean
from treadle.kernel.units import parse_duration

FILE = "treadle.toml"


def find_project(start: Path) -> Path:
    """The nearest folder at or above ``start`` that has a ``treadle.toml``.

    Raises:
        NotFound: If there is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder
    raise NotFound(f"no {FILE} here or above", where=str(start), fix="run `treadle init` to write one")


def config_digest(folder: Path) -> str:
    """The SHA-256 of a project's ``treadle.toml`` as it is now, in hexadecimal; empty if it can't be read."""
    try:
        return hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    except OSError:
        return ""


def load_config(folder: Path) -> Config:
    """The configuration of the project in a folder.

    Raises:
        ConfigError: If the file is missing, isn't TOML, or says something it can't say.
    """
    path = folder / FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError("the file is missing", where=str(path), fix="run `treadle init`") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "the file can't be read: it is not UTF-8", where=f"{path}:{line}", fix="save it as UTF-8"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"the file can't be read: {error.strerror}", where=str(path), fix="make it a file you may read"
        ) from error
    return parse_config(text, str(path))


def parse_config(text: str, where: str = FILE) -> Config:
    """Reads and validates the text of a ``treadle.toml``.

    Args:
        text: The file's content.
        where: What to call the file in errors.

    Raises:
        ConfigError: With the line, the key and the nearest valid name.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", place)
        raise ConfigError(
            f"not valid TOML: {message}",
            where=f"{where}:{line[1]}" if line else where,
            fix="mend that line: a table is [name], a setting name = value, and text stands in quotes",
        ) from error
    _check_keys(raw, Config, (), text, where)
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        keys = _keys(raw, path, str(error))
        place = _place(text, keys, where)
        missing = re.search(r"missing required field `(\w+)`", message)
        if missing:
            table = f"[{'.'.join(keys)}]" if keys else "the file"
            add = f"add `{missing[1]} = ...` to it" if keys else f"add [{missing[1]}] with what it needs"
            raise ConfigError(f"{table} needs `{missing[1]}`", where=place, fix=add) from None
        key = f"`{'.'.join(keys)}`" if keys else "the value"
        raise ConfigError(f"{key}: {_plain(message)}", where=place, fix=_default(keys)) from None
    _check_values(config, text, where)
    _check_references(config, text, where)
    return config


def _default(keys: tuple[str, ...]) -> str:
    """What holds when the key is left out."""
    kind: Any = Config
    for key in keys:
        field = {f.encode_name: f for f in msgspec.structs.fields(kind)}.get(key)
        if field is None:  # a name that the user chose
            break
        options = [o for o in (field.type, *get_args(field.type)) if isinstance(o, type)]
        kind = next((option for option in options if issubclass(option, msgspec.Struct)), None)
        if kind is None:
            if isinstance(field.default, str | int | float):
                return f"change it, or leave it out for {msgspec.json.encode(field.default).decode()}"
            break
    return "change it to what is expected"


def _keys(raw: dict[str, Any], path: str, message: str) -> tuple[str, ...]:
    """The keys that lead to the wrong value. msgspec writes ``[...]`` for a name that the user chose."""
    keys: tuple[str, ...] = ()
    for known, chosen in re.findall(r"\.([^.`\[]+)|\[(\.\.\.)\]", path):
        names = [known] if not chosen else [n for n in _at(raw, keys) if _fails(_only(raw, keys, n), message)]
        keys += tuple(names[:1])
    return keys


def _at(raw: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    for key in keys:
        raw = raw[key]
    return raw


def _only(raw: dict[str, Any], keys: tuple[str, ...], name: str) -> dict[str, Any]:
    """The same with nothing but ``name`` in the table at ``keys``."""
    return {**raw, keys[0]: _only(raw[keys[0]], keys[1:], name)} if keys else {name: raw[name]}


def _fails(raw: dict[str, Any], message: str) -> bool:
    try:
        msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        return str(error) == message
    return False


def _plain(message: str) -> str:
    if "matching regex" in message:
        if "ssh-" in message:
            return "expected a public ed25519 key of OpenSSH, such as `ssh-ed25519 AAAA... ada@shop`"
        return "expected a duration, a number and a unit (s, m, h, d, w), such as 90d or 1h30m"
    if "Invalid enum value" in message:
        return message.replace("Invalid enum value", "it can't be")
    return message[0].lower() + message[1:]


def _check_keys(
    raw: dict[str, Any], kind: type[msgspec.Struct], path: tuple[str, ...], text: str, where: str
) -> None:
    """Refuses unknown keys, table by table, before the values are looked at."""
    fields = {f.encode_name: f for f in msgspec.structs.fields(kind)}
    for key, value in raw.items():
        if key not in fields:
            table = f"[{'.'.join(path)}]" if path else "the file"
            raise ConfigError(
                f"{table} has no key `{key}`",
                where=_place(text, (*path, key), where),
                fix=did_you_mean(key, fields),
            )
        if not isinstance(value, dict):
            continue
        inner = msgspec.inspect.type_info(fields[key].type)
        for option in inner.types if isinstance(inner, msgspec.inspect.UnionType) else (inner,):
            if isinstance(option, msgspec.inspect.StructType):
                _check_keys(value, option.cls, (*path, key), text, where)
            elif isinstance(option, msgspec.inspect.DictType) and isinstance(
                option.value_type, msgspec.inspect.StructType
            ):
                _check_choices(value, option.key_type, (*path, key), text, where)
                for name, table in value.items():
                    if isinstance(table, dict):
                        _check_keys(table, option.value_type.cls, (*path, key, name), text, where)


def _check_choices(
    table: dict[str, Any], kind: msgspec.inspect.Type, path: tuple[str, ...], text: str, where: str
) -> None:
    """Refuses names that can't stand in a table whose names aren't the user's to choose."""
    if not isinstance(kind, msgspec.inspect.LiteralType):
        return
    for name in table:
        if name not in kind.values:
            known = [str(value) for value in kind.values]
            raise ConfigError(
                f"[{'.'.join(path)}] can't have {name!r}",
                where=_place(text, (*path, name), where),
                fix=did_you_mean(name, known) or f"one of {', '.join(known)}",
            )


def _check_values(config: Config, text: str, where: str) -> None:
    """Values that are right by themselves must fit each other."""
    _check_metrics(config, text, where)
    _check_task(config, text, where)
    _check_objective(config, text, where)
    if config.registry.signed and not config.registry.trusted_keys:
        raise ConfigError(
            "`registry.signed` lets nothing in: there are no keys to trust",
            where=_place(text, ("registry", "signed"), where),
            fix='name them: trusted_keys = ["ssh-ed25519 AAAA... ada@shop"]',
        )
    _check_keeping(config, text, where)
    _check_embeddings(config, text, where)
    for problem in problems(config.checks.behaviour):
        keys = ("checks", "behaviour", *problem.keys)
        raise ConfigError(
            f"`{'.'.join(keys)}`: {problem.message}", where=_place(text, keys, where), fix=problem.fix
        )
    found = wrong(config.retrain, sliding=bool(config.train and config.train.window))
    if found is not None:
        keys = ("retrain", *found.keys)
        raise ConfigError(
            f"`{'.'.join(keys)}`: {found.message}", where=_place(text, keys, where), fix=found.fix
        )
    params = config.train.params if config.train else {}
    for name, value in params.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(
                f"`train.params.{name}` must be a finite number",
                where=_place(text, ("train", "params", name), where),
            )


def _check_objective(config: Config, text: str, where: str) -> None:
    """What a load test is to hold must be declared; a share is no percentage."""
    objective = config.serve.objective
    if objective.availability is not None and objective.availability <= 1:
        share = objective.availability
        raise ConfigError(
            f"`serve.objective.availability` is a percentage: {100 - share:g} of 100 may fail by this",
            where=_place(text, ("serve", "objective", "availability"), where),
            fix=f"write {100 * share:g}",
        )
    held = objective.p99_ms is not None or objective.availability is not None
    if config.deploy.loadtest and not (held and objective.rate):
        raise ConfigError(
            "`deploy.loadtest` needs an objective to hold, and the rate at which",
            where=_place(text, ("deploy", "loadtest"), where),
            fix="declare it: [serve.objective] p99_ms = 50, availability = 99.9, rate = 100",
        )


def _check_keeping(config: Config, text: str, where: str) -> None:
    """Predictions are kept as long as a figure looks back; a season's slots don't overlap."""
    monitor, week = config.monitor, timedelta(days=7)
    seasonal = monitor.reference == "season"
    if seasonal and parse_duration(monitor.every) > week:
        raise ConfigError(
            "`monitor.every` is longer than a week, and a season is told by the same time of the week before",
            where=_place(text, ("monitor", "every"), where),
            fix='make it "7d" or less, or leave `reference` out',
        )
    if monitor.keep_log is None:
        return
    back, what, key = parse_duration(monitor.performance_window), "a performance figure", "performance_window"
    if seasonal and monitor.season_weeks * week > back:
        back, what, key = monitor.season_weeks * week, "a season", "season_weeks"
    needed = back + parse_duration(monitor.every)
    if parse_duration(monitor.keep_log) < needed + timedelta(days=1):
        raise ConfigError(
            f"`monitor.keep_log` is shorter than what {what} looks back over",
            where=_place(text, ("monitor", "keep_log"), where),
            fix=f"keep `{key}`, `every` and a day together, or more",
        )


def _check_embeddings(config: Config, text: str, where: str) -> None:
    """A vector is made of inputs or logged, and there is something to hold it against."""
    monitor = config.monitor
    for name, one in monitor.embeddings.items():
        problem = one.problem
        if not problem and one.size and not one.reference and monitor.reference == "training":
            problem = "name a Parquet file of training's vectors as its `reference`"
        features = config.train.features if config.train else []
        if not problem and one.inputs and not any(known.startswith(one.inputs) for known in features):
            problem = f"none of `train.features` begins with {one.inputs!r}"
        if problem:
            keys = ("monitor", "embeddings", name)
            raise ConfigError(
                f"`{'.'.join(keys)}` can't be watched so",
                where=_place(text, keys, where),
                fix=problem,
            )


def _check_metrics(config: Config, text: str, where: str) -> None:
    """A model is judged by metrics of its task, each once."""
    check, task = config.checks.performance, config.project.task
    places: list[tuple[Metric, tuple[str, ...]]] = [(check.metric, ("checks", "performance", "metric"))]
    places += [(name, ("checks", "performance", "also", name)) for name in check.also]
    for metric, keys in places:
        if metric not in METRICS[task]:
            named = f" {metric!r}" if keys[-1] == "metric" else ""
            raise ConfigError(
                f"`{'.'.join(keys)}`{named} doesn't suit a {task} task",
                where=_place(text, keys, where),
                fix=f"for {task}: {', '.join(METRICS[task])}",
            )
    if check.metric in check.also:
        raise ConfigError(
            f"`checks.performance.also.{check.metric}` is the metric that is judged anyway",
            where=_place(text, ("checks", "performance", "also", check.metric), where),
            fix="leave it out there: its margin and bound stand in [checks.performance]",
        )


def _check_task(config: Config, text: str, where: str) -> None:
    """What can't be served yet isn't trained."""
    task = config.project.task
    if config.train is not None and task not in SERVED:
        raise ConfigError(
            f"models of a {task} task can't be trained, served or monitored yet",
            where=_place(text, ("project", "task"), where),
            fix="leave [train] out: files of their predictions can be judged",
        )


def _check_references(config: Config, text: str, where: str) -> None:
    """What one table says of another must be there, and fit."""
    _check_name("project", config.project.name, _place(text, ("project", "name"), where))
    for name in config.data:
        _check_name("dataset", name, _place(text, ("data", name), where))
    for name in config.remotes:
        _check_name("remote", name, _place(text, ("remotes", name), where))
    if config.registry.model:
        _check_name("model", config.registry.model, _place(text, ("registry", "model"), where))
    _check_stages(config, text, where)
    found = misplaced(config)
    if found is not None:
        raise ConfigError(
            f"`{'.'.join(found.keys)}`: {found.message}",
            where=_place(text, found.keys, where),
            fix=found.fix,
        )
    train = config.train
    if train is None:
        return
    if train.data not in config.data:
        raise ConfigError(
            f"`train.data` names {train.data!r}, which no [data.*] table describes",
            where=_place(text, ("train", "data"), where),
            fix=did_you_mean(train.data, config.data) or "add [data.NAME] with its path",
        )
    data = config.data[train.data]
    table = ("data", train.data)
    if not data.label:
        raise ConfigError(
            f"[data.{train.data}] needs `label`, the column to predict", where=_place(text, table, where)
        )
    if not data.time:
        raise ConfigError(
            f"[data.{train.data}] needs `time`, the column that says when a row happened",
            where=_place(text, table, where),
            fix="windows, the holdout and monitoring are cut by it",
        )
    hidden = set(train.features) & {data.label, data.label_time}
    if hidden:
        raise ConfigError(
            f"`train.features` has {min(hidden)!r}, which gives the label away",
            where=_place(text, ("train", "features"), where),
        )
    _check_columns(config, train, text, where)
    _check_fairness(config, text, where)


def _check_columns(config: Config, train: TrainConfig, text: str, where: str) -> None:
    """What is monitored column by column are the model's own features."""
    monitor = config.monitor
    places = {("monitor", "columns", name): name for name in monitor.columns}
    places |= {("monitor", "segments", name): one.column or name for name, one in monitor.segments.items()}
    for keys, column in places.items():
        if column not in train.features:
            raise ConfigError(
                f"[{'.'.join(keys[:-1])}] names {column!r}, which is none of `train.features`",
                where=_place(text, keys, where),
                fix=did_you_mean(column, train.features),
            )
    for name, segment in monitor.segments.items():
        edges, fix = segment.edges or [], None
        if monitor.columns.get(segment.column or name, ColumnConfig()).keep != "value":
            problem = "segments are made of values, and the log doesn't keep those of this input"
            column = segment.column or name
            fix = f"make segments of another input, or leave `keep` out of [monitor.columns.{column}]"
        elif segment.values is not None and segment.edges is not None:
            problem = "a segment is made by `values` or by `edges`, not by both"
        elif edges != sorted(set(edges)) or not all(math.isfinite(edge) for edge in edges):
            problem = "`edges` must be finite numbers, each greater than the one before"
        else:
            continue
        raise ConfigError(problem, where=_place(text, ("monitor", "segments", name), where), fix=fix)


def _check_fairness(config: Config, text: str, where: str) -> None:
    """Groups that are held beside each other are a segment's, and get decisions."""
    monitor = config.monitor
    for name, one in monitor.fairness.items():
        place = _place(text, ("monitor", "fairness", name), where)
        segment = monitor.segments.get(name)
        if config.project.task != "binary":
            raise ConfigError(
                f"a {config.project.task} model decides nothing that groups could be compared by", where=place
            )
        if one.groups and segment is not None:
            raise ConfigError(
                "its groups are those of [monitor.segments] or those that it lists, not both", where=place
            )
        if segment is None and not one.groups:
            raise ConfigError(
                f"[monitor.fairness] names {name!r}, which is none of `[monitor.segments]`",
                where=place,
                fix=did_you_mean(name, monitor.segments)
                or f"declare its groups: [monitor.segments.{name}], which names an input of the model; or "
                "list them here as `groups`, if they are sent with labels",
            )
        given = one.groups or (segment.values if segment else None)
        if one.reference is not None and given and one.reference.rpartition("=")[2] not in given:
            raise ConfigError(
                f"the reference group {one.reference!r} is none of the "
                + ("`groups`" if one.groups else "segment's `values`"),
                where=place,
                fix=did_you_mean(one.reference, given),
            )


_STATUSES = ("candidate", "deprecated", "refused", "archived", "deleted", "latest")


def _check_stages(config: Config, text: str, where: str) -> None:
    """Stages have names of their own, and whoever must approve can."""
    for name, stage in config.registry.stages.items():
        place = _place(text, ("registry", "stages", name), where)
        _check_name("stage", name, place)
        if name in _STATUSES:
            raise ConfigError(
                f"{name!r} can't be a stage: it means something else", where=place, fix="choose another name"
            )
        for role in stage.roles:
            if role not in config.teams:
                raise ConfigError(
                    f"`roles` names {role!r}, which no [teams.*] table describes",
                    where=place,
                    fix=did_you_mean(role, config.teams) or f"add [teams.{role}] with its members",
                )
        able = {member for role in stage.roles for member in config.teams[role].members}
        if stage.roles and len(able) < stage.needed:
            raise ConfigError(
                f"{stage.needed} must approve, and {len(able)} may",
                where=place,
                fix="add members to the teams, or ask for fewer approvals",
            )


def _check_name(kind: str, name: str, place: str) -> None:
    try:
        check_name(kind, name)
    except InvalidInput as error:
        raise ConfigError(error.message, where=place, fix=error.fix) from None


def _place(text: str, keys: tuple[str, ...], where: str) -> str:
    """``FILE:LINE`` of a key, or of the nearest table above it that can be found."""
    lines = text.splitlines()
    for depth in range(len(keys), 0, -1):
        table, key = keys[: depth - 1], keys[depth - 1]
        inside: tuple[str, ...] = ()
        for number, line in enumerate(lines, 1):
            header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
            if header:
                inside = tuple(part.strip().strip("\"'") for part in header[1].split("."))
                if inside == keys[:depth]:
                    return f"{where}:{number}"
            elif inside == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return f"{where}:{number}"
    return where
