"""How two versions of a model differ, as far as whoever deploys one should know. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from treadle.kernel.units import format_bytes
from treadle.registry import ModelVersion


def differences(old: ModelVersion, new: ModelVersion) -> Iterator[str]:
    """What callers and operators would notice of the new one, a line each; nothing if they are the same."""
    if old.id == new.id:
        return
    yield from _changed("input", _inputs(old), _inputs(new))
    outputs = [", ".join(one.signature.gives) for one in (old, new) if one.signature]
    if len(set(outputs)) > 1:
        yield f"output: {' -> '.join(outputs)}"
    yield from _changed("parameter", old.params, new.params)
    yield from _changed("metric", old.metrics, new.metrics)
    yield from _changed("data", _data(old), _data(new))
    if old.code != new.code:
        yield f"code: {old.code[:12]} -> {new.code[:12]}"
    sizes = [sum(file.size for file in one.files) for one in (old, new)]
    if sizes[0] != sizes[1]:
        yield f"size: {format_bytes(sizes[0])} -> {format_bytes(sizes[1])}"


def _inputs(version: ModelVersion) -> dict[str, str]:
    return {field.name: field.kind for field in version.signature.inputs} if version.signature else {}


def _data(version: ModelVersion) -> dict[str, str]:
    return {str(one.role): f"v{one.number}, {one.rows:,} rows" for one in version.data}


def _changed(what: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"{what} {name}: gone (was {_said(before[name])})"
        elif name not in before:
            yield f"{what} {name}: new ({_said(after[name])})"
        elif before[name] != after[name]:
            yield f"{what} {name}: {_said(before[name])} -> {_said(after[name])}"


def _said(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
