"""Sending all that Treadle has to a running server, then reading it again there and comparing."""

from __future__ import annotations

import re
from collections.abc import Callable

from treadle.client import Transport
from treadle.experiment import Hasher, Tally
from treadle.interop import wording
from treadle.interop.http_source import HttpSource
from treadle.interop.http_target import check_server
from treadle.interop.importing import WORDS, ImportReport, Line
from treadle.interop.sending import Sending, digests
from treadle.interop.sent import DONE_TAG, MODEL_TAG, RUN_TAG, VERSION_TAG, clipped, model_part, run_part
from treadle.interop.types import Source, Trouble
from treadle.interop.wire import Wire
from treadle.kernel.errors import AlreadyExists, Refused, StorageError, TreadleError, Unavailable
from treadle.registry import CatalogModel, CatalogVersion, ImportCatalogModel

_OF_RUN = re.compile(r"runs:/+([^/]+)(/.*)?")


def export_server(
    source: Source,
    transport: Transport,
    name: str,
    troubles: list[Trouble],
    progress: Callable[[str], None] = lambda _: None,
    *,
    verify: bool = True,
) -> ImportReport:
    """Sends everything that a source has to a tracking server, and reads it again there.

    What was sent before and is whole is passed over; what an export that was cut off left half
    done is deleted there and sent anew.

    Args:
        source: What is sent; Treadle, as MLflow's clients see it.
        transport: How the server is reached.
        name: The server's address.
        troubles: What can't be read or sent is added here.
        progress: Called with what was sent last.
        verify: Whether everything is read again there.

    Raises:
        NotFound: If that is no tracking server.
        Unavailable: If the source or the server doesn't answer; running again goes on.
    """
    wire = Wire(transport, name)
    check_server(wire)
    sending = Sending(source, wire, troubles, progress)
    registry = _Registry(sending, HttpSource(transport, name, troubles.append), troubles)
    sending.run()
    models = list(source.registered_models())
    for one in models:
        registry.send(one)
        progress(f"registered model {one.model.name}")
    back = HttpSource(transport, name, troubles.append)
    here, homes = _read_again(back, sending, progress) if verify else (sending.seen, len(sending.homes))
    counts = {"experiments": (sending.found["experiments"], homes)}
    for kind, is_model in (("logged models", True), ("runs", False)):
        counts[kind] = (sending.found[kind], sum(one.startswith("m-") == is_model for one in here))
    kept = registry.kept(models)
    for place, what in enumerate(("registered models", "versions", "aliases")):
        sizes = (
            len(models),
            sum(len(one.versions) for one in models),
            sum(len(one.model.aliases) for one in models),
        )
        counts[what] = (sizes[place], kept[place])
    lines = [Line(what=what, there=there, here=found) for what, (there, found) in counts.items()]
    for what in Tally.__struct_fields__:
        if what != "digest":
            sums = [sum(getattr(one, what) for one in side.values()) for side in (sending.seen, here)]
            lines.append(Line(what=WORDS.get(what, what), there=sums[0], here=sums[1]))
    differing = sorted(
        f"{'logged model' if one.startswith('m-') else 'run'} {one}"
        for one, tally in sending.seen.items()
        if one not in here or here[one].digest != tally.digest
    )
    return ImportReport(
        source=source.name,
        lines=lines,
        added=sending.added,
        before=sending.before,
        differing=differing,
        troubles=list(troubles),
    )


def _read_again(
    there: HttpSource, sending: Sending, progress: Callable[[str], None]
) -> tuple[dict[str, Tally], int]:
    """What belongs to each run and logged model as it is there, and how many experiments are there."""
    names = {identity: original for original, identity in sending.ids.items()}
    here: dict[str, Tally] = {}
    homes = set(sending.homes.values())
    found = 0
    for experiment in there.experiments():
        if experiment.id not in homes:
            continue
        found += 1
        for model in there.logged_models(experiment.id):
            if model.id in names:
                here[names[model.id]] = model_part(model, digests(there.model_files(model)), names)
        for head in there.heads(experiment.id):
            copy = there.run(head.id) if head.id in names else None
            if copy is None:
                continue
            hasher = Hasher()
            for metric, curve in there.curves(head.id):
                hasher.add(metric, clipped(curve))
            here[names[head.id]] = run_part(copy, hasher, digests(there.files(head.id)), names)
            progress(f"checked run {names[head.id]}")
    return here, found


class _Registry:
    """Registered models, sent.

    Args:
        sending: What was sent before.
        there: The server as it was.
        troubles: What can't be sent is added here.
    """

    def __init__(self, sending: Sending, there: HttpSource, troubles: list[Trouble]) -> None:
        self._sending = sending
        self._target = sending.target
        self._there = {one.model.name: one for one in there.registered_models()}
        self._reread = there
        self._troubles = troubles
        self._numbers: dict[tuple[str, int], int] = {}

    def send(self, copy: ImportCatalogModel) -> None:
        """Sends a registered model with what of it isn't there."""
        name = copy.model.name
        known = self._there.get(name)
        try:
            if known is None:
                self._target.registered_model(copy.model)
        except AlreadyExists:
            pass
        except TreadleError as error:
            self._refused(f"registered model {name!r}", error)
            return
        old = {int(v.tags[VERSION_TAG]): v for v in known.versions if _has_number(v)} if known else {}
        for version in copy.versions:
            try:
                self._numbers[name, version.number] = self._version(version, old.get(version.number), known)
            except TreadleError as error:
                self._refused(f"{name}/{version.number}", error)
        for alias, number in copy.model.aliases.items():
            self._alias(name, alias, number, known.model if known else None)

    def _refused(self, where: str, error: TreadleError) -> None:
        if isinstance(error, Unavailable | StorageError | Refused):
            raise error
        self._troubles.append(Trouble(where, error.message))

    def _version(
        self, version: CatalogVersion, old: CatalogVersion | None, known: ImportCatalogModel | None
    ) -> int:
        if old is None:
            same = [v for v in known.versions if v.number == version.number] if known else []
            # Of a server that this came from, or that is this one.
            old = next((v for v in same if v.run and v.run == version.run and v.tags == version.tags), None)
        run = self._sending.ids.get(version.run, "")
        model = self._sending.ids.get(version.logged_model, "")
        tags = version.tags | {VERSION_TAG: str(version.number)}
        stage = old.stage if old else "None"
        number = (
            old.number
            if old
            else self._target.version(version, self._moved(version.source), run, model, tags)
        )
        if stage != version.stage:
            self._target.move_version(version.model, number, version.stage)
        return number

    def _alias(self, name: str, alias: str, number: int, known: CatalogModel | None) -> None:
        here = self._numbers.get((name, number))
        if here is None:
            return
        before = known.aliases.get(alias) if known else None
        if before is not None and before != here:
            text = f"the alias {alias!r} names version {before} there already"
            self._troubles.append(Trouble(f"{name}/{number}", text))
        elif before is None:
            try:
                self._target.set_alias(name, alias, here)
            except TreadleError as error:
                self._refused(f"{name}/{number}, alias {alias!r}", error)

    def _moved(self, uri: str) -> str:
        """A version's source with its files where they are there."""
        ids, roots = self._sending.ids, self._sending.roots
        model = wording.logged_model(uri)
        if model in ids:
            return f"models:/{ids[model]}"
        of_run = _OF_RUN.fullmatch(uri)
        if of_run and of_run[1] in ids:
            return f"runs:/{ids[of_run[1]]}{of_run[2] or ''}"
        for original, root in roots.items() if uri.startswith("mlflow-artifacts:") else ():
            before, found, path = uri.partition(f"/{original}/artifacts")
            if found and before:
                return root.rstrip("/") + path
        return uri

    def kept(self, models: list[ImportCatalogModel]) -> tuple[int, int, int]:
        """How many registered models, versions and aliases are there as they were sent."""
        there = {one.model.name: one for one in self._reread.registered_models()}
        kept = [one for one in models if one.model.name in there]
        versions = aliases = 0
        for one in kept:
            name, found = one.model.name, there[one.model.name]
            by_number = {version.number: version for version in found.versions}
            for version in one.versions:
                again = by_number.get(self._numbers.get((name, version.number), 0))
                versions += again is not None and _plain(again) == _plain(version)
            for alias, number in one.model.aliases.items():
                aliases += found.model.aliases.get(alias) == self._numbers.get((name, number), 0)
        return len(kept), versions, aliases


def _has_number(version: CatalogVersion) -> bool:
    return version.tags.get(VERSION_TAG, "").isdecimal()


def _plain(version: CatalogVersion) -> tuple[str, str, dict[str, str]]:
    ours = (VERSION_TAG, RUN_TAG, MODEL_TAG, DONE_TAG)
    tags = {name: value for name, value in version.tags.items() if name not in ours}
    return version.description, version.stage, tags
