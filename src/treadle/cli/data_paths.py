"""``treadle data ls DATASET@VERSION/PATH``: versions by path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.cli import show
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.cli.app import App
    from treadle.data import PathEntry
    from treadle.paths import Place


def placed(app: App, text: str) -> Place:
    """What ``flights@exp/new/day=1`` names; branches with slashes in their names are known.

    Raises:
        NotFound: If there is no such dataset.
        InvalidInput: If the version is missing after its ``@``.
    """
    from treadle.paths import needs_names, read_place

    names: list[str] = []
    if dataset := needs_names(text):
        names = [one.name for one in app.client.data_refs(dataset)]
        names += [one.name for one in app.client.data_refs(dataset, "tag")]
    return read_place(text, names)


def list_paths(app: App, text: str, recursive: bool) -> None:
    """Lists what lies in a version, or in a folder of it."""
    place = placed(app, text)
    version = app.client.data_version(place.dataset, place.ref)
    found = app.client.data_paths(place.dataset, version.commit_id, place.path, deep=recursive)
    app.answer(found, lambda told: _show(told, place.of(place.path)))


def _show(found: list[PathEntry], where: str) -> None:
    rows = [
        (
            f"{one.path}/" if one.kind == "folder" else one.path,
            format_bytes(one.size) if one.kind == "file" else None,
            one.digest[:12] or None,
            f"→ {one.target}" if one.target else "",
        )
        for one in found
    ]
    show.table(["!path", ">size", "!digest", ""], rows, empty=f"nothing lies in {where}")
    show.following(f"treadle data log {where.partition('/')[0]}")
