"""Writing all that Treadle has into a store of MLflow's, then reading it again and comparing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from treadle.experiment import Curve, Hasher, Tally, model_tally
from treadle.interop.file_source import FileSource
from treadle.interop.file_target import FileTarget
from treadle.interop.importing import WORDS, ImportReport, Line
from treadle.interop.places import Places
from treadle.interop.sending import digests
from treadle.interop.types import Source, Trouble
from treadle.kernel.errors import CorruptData


def export_files(
    source: Source,
    folder: Path,
    troubles: list[Trouble],
    progress: Callable[[str], None] = lambda _: None,
) -> ImportReport:
    """Writes everything that a source has into a file store of MLflow's, and reads it again.

    Args:
        source: What is written; Treadle, as MLflow's clients see it.
        folder: The file store; new or empty.
        troubles: What can't be read or written is added here.
        progress: Called with what was written last.

    Raises:
        AlreadyExists: If something is in the folder.
        StorageError: If it can't be written; then nothing is there.
        Unavailable: If the server doesn't answer; likewise.
    """
    target = FileTarget(folder)
    tallies: dict[str, Tally] = {}
    counts = dict.fromkeys(("experiments", "registered models", "versions", "aliases"), 0)
    for experiment in source.experiments():
        counts["experiments"] += 1
        target.experiment(experiment)
        for model in source.logged_models(experiment.id):
            try:
                written = target.logged_model(model, source.model_files(model) or ())
            except CorruptData as error:
                troubles.append(Trouble(f"logged model {model.id}", error.message))
                continue
            tallies[model.id] = model_tally(model, written)
            progress(f"logged model {model.id}")
        for head in source.heads(experiment.id):
            copy = source.run(head.id)
            if copy is None:
                continue
            hasher = Hasher()
            try:
                files = target.run(copy, _counted(source, head.id, hasher), source.files(head.id) or ())
            except CorruptData as error:
                troubles.append(Trouble(f"run {copy.id}", error.message))
                continue
            tallies[copy.id] = hasher.tally(msgspec.structs.replace(copy, files=files))
            progress(f"run {copy.id}")
    for registered in source.registered_models():
        counts["registered models"] += 1
        counts["versions"] += len(registered.versions)
        counts["aliases"] += len(registered.model.aliases)
        target.registered_model(registered)
    target.finish()
    return _compared(folder, source.name, tallies, counts, troubles)


def _counted(source: Source, run: str, hasher: Hasher) -> Iterator[tuple[str, Curve]]:
    for name, curve in source.curves(run):
        hasher.add(name, curve)
        yield name, curve


def _compared(
    folder: Path, name: str, tallies: dict[str, Tally], counts: dict[str, int], troubles: list[Trouble]
) -> ImportReport:
    """What was written, read again and held against what was read."""
    written = FileSource(folder, Places([], [], troubles.append), troubles.append)
    here: dict[str, Tally] = {}
    again = dict.fromkeys(counts, 0)
    for experiment in written.experiments():
        again["experiments"] += 1
        for model in written.logged_models(experiment.id):
            here[model.id] = model_tally(model, tuple(digests(written.model_files(model))))
        for head in written.heads(experiment.id):
            copy = written.run(head.id)
            hasher = Hasher()
            for metric, curve in written.curves(head.id):
                hasher.add(metric, curve)
            if copy is not None:
                files = tuple(digests(written.files(head.id)))
                here[copy.id] = hasher.tally(msgspec.structs.replace(copy, files=files))
    for registered in written.registered_models():
        again["registered models"] += 1
        again["versions"] += len(registered.versions)
        again["aliases"] += len(registered.model.aliases)
    lines = [Line(what=what, there=counts[what], here=again[what]) for what in counts]
    for kind, models in (("runs", False), ("logged models", True)):
        found = [sum(one.startswith("m-") == models for one in side) for side in (tallies, here)]
        lines.insert(1, Line(what=kind, there=found[0], here=found[1]))
    for what in Tally.__struct_fields__:
        if what != "digest":
            sums = [sum(getattr(one, what) for one in side.values()) for side in (tallies, here)]
            lines.append(Line(what=WORDS.get(what, what), there=sums[0], here=sums[1]))
    differing = sorted(one for one in tallies if one not in here or here[one].digest != tallies[one].digest)
    return ImportReport(
        source=name, lines=lines, added=len(tallies), before=0, differing=differing, troubles=list(troubles)
    )
