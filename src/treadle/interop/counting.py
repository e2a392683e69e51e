"""What a store has, counted and otherwise left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from treadle.experiment import Hasher, Tally, model_tally
from treadle.interop.importing import WORDS, ImportReport, Line
from treadle.interop.types import Source, SourceFile, Trouble


def count(
    source: Source,
    troubles: Sequence[Trouble],
    progress: Callable[[str], None] = lambda _: None,
    *,
    files: bool = True,
) -> ImportReport:
    """Reads a whole store but the bytes of files, and counts what it has.

    Args:
        source: What is read.
        troubles: Where the source tells of what can't be read.
        progress: Called with what was counted last.
        files: Whether files are looked for.
    """
    counts = dict.fromkeys(
        ("experiments", "runs", "logged models", "registered models", "versions", "aliases"), 0
    )
    tallies: list[Tally] = []

    def add(tally: Tally, found: Iterable[SourceFile] | None) -> None:
        sizes = [file.size or 0 for file in found or ()]
        tallies.append(tally)
        tallies.append(Tally(files=len(sizes), bytes=sum(sizes)))

    for experiment in source.experiments():
        counts["experiments"] += 1
        for model in source.logged_models(experiment.id):
            counts["logged models"] += 1
            add(model_tally(model, ()), source.model_files(model) if files else ())
        for head in source.heads(experiment.id):
            counts["runs"] += 1
            copy = source.run(head.id)
            if copy is not None:
                hasher = Hasher()
                for name, curve in source.curves(head.id):
                    hasher.add(name, curve)
                add(hasher.tally(copy), source.files(head.id) if files else ())
            progress(f"run {head.id}")
    for registered in source.registered_models():
        counts["registered models"] += 1
        counts["versions"] += len(registered.versions)
        counts["aliases"] += len(registered.model.aliases)
    for name in Tally.__struct_fields__:
        if name != "digest":
            counts[WORDS.get(name, name)] = sum(getattr(tally, name) for tally in tallies)
    lines = [Line(what=what, there=there, here=0) for what, there in counts.items()]
    return ImportReport(
        source=source.name, lines=lines, added=0, before=0, differing=[], troubles=list(troubles)
    )
