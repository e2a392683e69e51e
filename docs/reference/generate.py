# noqa: INP001 - a script beside the pages that it writes, no package
"""Writes the generated parts of the reference from the code: ``python docs/reference/generate.py``.

What stands between the two markers of a page is replaced; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import click
import msgspec

HERE = Path(__file__).parent
BEGIN, END = "<!-- generated -->", "<!-- /generated -->"
_TABLES = (
    "project",
    "data",
    "train",
    "checks",
    "model",
    "registry",
    "deploy",
    "environments",
    "serve",
    "monitor",
    "retrain",
    "budget",
    "store",
    "teams",
    "remotes",
    "lineage",
)


def toml() -> str:
    """Every table and key of ``treadle.toml``, from the schema and its docstrings."""
    from treadle.kernel.config import Config

    fields = {field.encode_name: field for field in msgspec.structs.fields(Config)}
    assert set(fields) == set(_TABLES), "a table of the schema has no place in the reference"  # noqa: S101
    told: dict[type, str] = {}
    return "\n\n".join(part for name in _TABLES for part in _table(name, fields[name].type, told))


def _table(path: str, kind: Any, told: dict[type, str]) -> list[str]:
    """A table and those within it; one whose keys have been told refers to where."""
    found = _structure(msgspec.inspect.type_info(kind))
    assert found is not None  # noqa: S101 - every key of the file's top level is a table
    cls, named = found
    path = f"{path}.NAME" if named else path
    fields = msgspec.structs.fields(cls)
    inner = [field for field in fields if _structure(msgspec.inspect.type_info(field.type))]
    own = [field for field in fields if field not in inner or _plain(field.type)]
    if own and told.setdefault(cls, path) != path:
        return [f"## `[{path}]`", f"The keys are those of `[{told[cls]}]`."]
    about, meanings = _docstring(cls)
    rows = [
        f"| `{field.name}` | {_type(msgspec.inspect.type_info(field.type))} | {_default(field)} "
        f"| {_cell(meanings[field.name])} |"
        for field in own
    ]
    below = [part for field in inner for part in _table(f"{path}.{field.name}", field.type, told)]
    if not own:
        return below
    head = [f"## `[{path}]`", *([about] if about else [])]
    return [*head, "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows]), *below]


def _plain(kind: Any) -> bool:
    """Whether a key that may be a table may be a value as well."""
    info = msgspec.inspect.type_info(kind)
    return isinstance(info, msgspec.inspect.UnionType) and any(
        not isinstance(option, msgspec.inspect.StructType | msgspec.inspect.NoneType) for option in info.types
    )


def _structure(info: msgspec.inspect.Type) -> tuple[type[msgspec.Struct], bool] | None:
    """The table that a type is, and whether the user names several of them."""
    if isinstance(info, msgspec.inspect.UnionType):
        return next((found for option in info.types if (found := _structure(option))), None)
    if isinstance(info, msgspec.inspect.StructType):
        return info.cls, False
    if isinstance(info, msgspec.inspect.DictType) and isinstance(info.value_type, msgspec.inspect.StructType):
        return info.value_type.cls, True
    return None


def _docstring(cls: type) -> tuple[str, dict[str, str]]:
    """What a table is for, and the meaning of each key."""
    text = textwrap.dedent(f"{'':4}{cls.__doc__}")
    about, _, attributes = text.partition("Attributes:")
    about = _code(" ".join(about.split()).split("``: ", 1)[-1])
    found: dict[str, str] = {}
    for line in textwrap.dedent(attributes.strip("\n")).splitlines():
        if match := re.match(r"(\w+): (.*)", line):
            name = match[1]
            found[name] = match[2]
        elif line.strip():
            found[name] += f" {line.strip()}"
    about = "" if about.startswith("`") else f"{about[:1].upper()}{about[1:]}"
    return about, {name: _code(meaning) for name, meaning in found.items()}


def _code(text: str) -> str:
    return text.replace("``", "`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _type(info: Any) -> str:  # noqa: C901, PLR0911 - one line a kind
    inspect = msgspec.inspect
    if isinstance(info, inspect.Metadata):
        return _type(info.type)
    if isinstance(info, inspect.UnionType):
        kinds = [option for option in info.types if not isinstance(option, inspect.NoneType)]
        if {type(option) for option in kinds} == {
            inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.StrType
        }:  # fmt: skip
            return "value"
        return " or ".join(dict.fromkeys(_type(option) for option in kinds))
    if isinstance(info, inspect.LiteralType):
        return " or ".join(f'`"{value}"`' for value in info.values)
    if isinstance(info, inspect.DictType):
        return f"table of {_plural(info.value_type)}"
    if isinstance(info, inspect.ListType | inspect.VarTupleType):
        count = f"{info.min_length} " if info.min_length and info.min_length == info.max_length else ""
        return f"list of {count}{_plural(info.item_type)}"
    if isinstance(info, inspect.StructType):
        return "table"
    if isinstance(info, inspect.AnyType):
        return "value"
    if isinstance(info, inspect.StrType):
        if info.pattern and "[KMGT]" in info.pattern:
            return "size"
        return "duration" if info.pattern else "text"
    if isinstance(info, inspect.BoolType):
        return "true or false"
    return _number(info)


def _plural(info: Any) -> str:
    """The same of several: ``lists of 2 numbers``, ``numbers, each at least 0``."""
    one = _type(info)
    word, end = re.match(r"(`.*|whole number|[a-z]+)(.*)", one).groups()  # type: ignore[union-attr]  # a word or a literal
    if word.startswith("`") or word == "text":
        return one
    return f"{word}s{end.replace(', ', ', each ', 1)}"


def _number(info: Any) -> str:
    word = "whole number" if isinstance(info, msgspec.inspect.IntType) else "number"
    low, high = (info.ge, info.gt), (info.le, info.lt)
    bounds = [
        f"{sign} {bound:g}"
        for pair, signs in ((low, ("at least", "over")), (high, ("at most", "under")))
        for bound, sign in zip(pair, signs, strict=True)
        if bound is not None
    ]
    return f"{word}, {' and '.join(bounds)}" if bounds else word


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "**required**"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return "-"
    if isinstance(value, dict):
        return "`{}`"
    return f"`{msgspec.json.encode(value).decode()}`"


def cli() -> str:
    """The help of every command, as the command line prints it."""
    from treadle.cli.main import treadle

    parts = []
    for path, command in _walk(treadle, ()):
        context = _context(path, command)
        level = "##" if len(path) < 2 else "###"
        title = " ".join(("treadle", *path))
        parts.append(f"{level} `{title}`\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts)


def _walk(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None  # noqa: S101 - it was listed
            found += _walk(child, (*path, name))
    return found


def _context(path: tuple[str, ...], command: click.Command) -> click.Context:
    context = None
    for name in ("treadle", *path[:-1]):
        context = click.Context(click.Group(name), parent=context, info_name=name)
    name, parent = (path[-1], context) if path else ("treadle", None)
    return click.Context(
        command, parent, name, help_option_names=["-h", "--help"], terminal_width=80, max_content_width=80
    )


def errors() -> str:
    """The error tree as a table."""
    from treadle.kernel.errors import TreadleError

    rows = ["| code | HTTP | class | also a | meaning |", "|---|---|---|---|---|"]
    rows += _errors(TreadleError, 0)
    return "\n".join(rows)


def _errors(kind: Any, depth: int) -> list[str]:
    ours = [base for base in kind.__bases__ if base.__module__ == "builtins" and base is not Exception]
    also = f"`{ours[0].__name__}`" if ours else "-"
    indent = "&emsp;" * depth
    meaning = _code(kind.__doc__.splitlines()[0]) if depth else "Something broke inside Treadle."
    row = f"| `{kind.code}` | {kind.status} | {indent}`{kind.__name__}` | {also} | {meaning} |"
    children = [child for child in kind.__subclasses__() if child.__module__ == kind.__module__]
    return [row, *(line for child in children for line in _errors(child, depth + 1))]


def api() -> str:
    """Every route, from the OpenAPI document."""
    from treadle.api.openapi import document
    from treadle.api.raw import RAW_ROUTES
    from treadle.api.routes import ROUTES

    rows = ["| route | query | body | answer | what it does |", "|---|---|---|---|---|"]
    for path, operations in document(ROUTES, RAW_ROUTES)["paths"].items():
        for method, operation in operations.items():
            query = [one for one in operation["parameters"] if one["in"] == "query"]
            names = ", ".join(f"**`{q['name']}`**" if q.get("required") else f"`{q['name']}`" for q in query)
            body = _content(operation.get("requestBody", {}))
            answer = _content(operation["responses"]["200"])
            about = operation["summary"].rstrip(".")
            rows.append(f"| `{method.upper()} {path}` | {names or '-'} | {body} | {answer} | {about}. |")
    return "\n".join(rows)


def _content(holder: Any) -> str:
    """What a body or an answer holds: a schema's name, or its media type where it is bytes."""
    for media, content in holder.get("content", {}).items():
        return _schema(content.get("schema", {})) or f"`{media}`"
    return "-"


def _schema(schema: Any) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if options := schema.get("anyOf"):
        return " or ".join(_schema(option) for option in options)
    if schema.get("type") == "array":
        return f"list of {_schema(schema['items'])}"
    return f"`{schema['type']}`" if schema.get("type") else ""


PAGES = {"treadle-toml.md": toml, "cli.md": cli, "errors.md": errors, "api.md": api}


def renew(page: Path) -> str:
    """The text of a page with its generated part made again."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, marker, after = rest.partition(END)
    assert marker, f"{page.name} has no {BEGIN} ... {END}"  # noqa: S101 - a page that lost its markers
    return f"{before}{BEGIN}\n\n{PAGES[page.name]()}\n\n{END}{after}"


def main() -> int:
    """Writes every page that is stale; with ``--check`` only names them, and fails if there are any."""
    stale = [name for name in PAGES if renew(HERE / name) != (HERE / name).read_text("utf-8")]
    for name in stale:
        if "--check" in sys.argv:
            sys.stderr.write(f"{name} is stale: run python docs/reference/generate.py\n")
        else:
            (HERE / name).write_text(renew(HERE / name), "utf-8")
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
