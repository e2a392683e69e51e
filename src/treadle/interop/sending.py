"""Sending all that a source has to a running server, whose identifiers are its own.

What is sent carries the original's identifier in a tag, and, once all of it is there, another one:
so that an export that was cut off goes on, and what it left half done is deleted and sent anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from treadle.experiment import (
    Artifact,
    Curve,
    ExperimentCopy,
    Hasher,
    LoggedModel,
    ModelMetric,
    RunCopy,
    Tally,
)
from treadle.interop.http_target import HttpTarget
from treadle.interop.sent import (
    DONE_TAG,
    MODEL_TAG,
    PARENT_TAG,
    RUN_TAG,
    Done,
    Kept,
    clipped,
    kept,
    model_part,
    run_part,
)
from treadle.interop.types import Head, Source, SourceFile, Tell, Trouble
from treadle.interop.wire import Wire
from treadle.kernel.errors import Refused, StorageError, TreadleError, Unavailable
from treadle.kernel.ids import new_digest


class _Part(msgspec.Struct, frozen=True):
    """A run that is there but for what it has to do with others.

    Attributes:
        copy: The run.
        id: Its identifier there.
        stamp: Changes when the original does.
        hasher: Its curves, counted.
        needs: What must be there before it can be completed.
    """

    copy: RunCopy
    id: str
    stamp: str
    hasher: Hasher
    needs: set[str]


class Sending:
    """Sends experiments, runs and logged models.

    Args:
        source: What is sent.
        wire: The server to which it is sent.
        troubles: What can't be read or sent is added here.
        progress: Called with what was sent last.

    Attributes:
        ids: The identifiers there, by the originals'.
        roots: Where the files of each are there, by the originals' identifiers.
        homes: The numbers of the experiments there, by the originals'.
        seen: What belongs to each run and logged model.
        added: Runs that were sent.
        before: Runs that were there already.
        found: Experiments, runs and logged models that the source has.
    """

    def __init__(
        self, source: Source, wire: Wire, troubles: list[Trouble], progress: Callable[[str], None]
    ) -> None:
        self._source = source
        self._wire = wire
        self._tell: Tell = troubles.append
        self._progress = progress
        self.target = HttpTarget(wire, self._tell)
        self.ids: dict[str, str] = {}
        self.roots: dict[str, str] = {}
        self.homes: dict[str, str] = {}
        self.seen: dict[str, Tally] = {}
        self.found = {"experiments": 0, "runs": 0, "logged models": 0}
        self.added = self.before = 0
        self._runs: dict[str, list[Kept]] = {}
        self._models: dict[str, list[Kept]] = {}
        self._own: dict[str, list[LoggedModel]] = {}
        self._measured: dict[str, dict[str, list[ModelMetric]]] = {}
        self._waiting: dict[str, list[_Part]] = {}
        self._known_parents: list[tuple[Kept, str]] = []
        self._asleep: set[str] = set()
        self._to_delete: list[str] = []

    def run(self) -> None:
        """Sends everything.

        Raises:
            Unavailable: If the source or the server doesn't answer; running again goes on.
            StorageError: If the source can't be read.
        """
        experiments = self._source.experiments()
        self.found["experiments"] = len(experiments)
        models = {one.id: list(self._source.logged_models(one.id)) for one in experiments}
        every = [model for some in models.values() for model in some]
        self._note_models(every)
        for experiment in experiments:
            self._experiment(experiment)
        for model in every:
            self._model(model)
        for part in {id(part): part for parts in self._waiting.values() for part in parts}.values():
            self._complete(part)
        for run, parent in self._known_parents:
            here = self.ids.get(parent, parent)
            if run.parent != here and not run.deleted:
                self.target.set_tag(run.id, PARENT_TAG, here)
        for number in self._to_delete:
            self.target.delete_experiment(number)

    def _note_models(self, models: Iterable[LoggedModel]) -> None:
        for model in models:
            self.found["logged models"] += 1
            self._own.setdefault(model.run, []).append(model)
            for one in model.metrics:
                self._measured.setdefault(one.run, {}).setdefault(model.id, []).append(one)

    def _refused(self, where: str, error: TreadleError) -> None:
        if isinstance(error, Unavailable | StorageError | Refused):
            raise error
        self._tell(Trouble(where, error.message))

    def _wake(self, number: str) -> None:
        """Restores a deleted experiment for as long as something is sent to it."""
        if number in self._asleep:
            self.target.restore_experiment(number)
            self._asleep.remove(number)
            self._to_delete.append(number)

    # ── what is there ────────────────────────────────────────────────────

    def _experiment(self, copy: ExperimentCopy) -> None:
        try:
            number, deleted = self.target.experiment(copy)
        except TreadleError as error:
            self._refused(f"experiment {copy.name!r}", error)
            return
        if deleted and copy.lifecycle != "deleted":
            self._tell(Trouble(f"experiment {copy.name!r}", "it is deleted there: restore or rename it"))
            return
        self.homes[copy.id] = number
        if deleted:
            self._asleep.add(number)
        elif copy.lifecycle == "deleted":
            self._to_delete.append(number)
        self._look(number)
        for head in self._source.heads(copy.id):
            self.found["runs"] += 1
            self._run(head, number)

    def _look(self, number: str) -> None:
        """Takes note of what an experiment there has."""

        def runs(token: str | None) -> dict[str, object]:
            asked = {"experiment_ids": [number], "run_view_type": "ALL", "max_results": 1000}
            return self._wire.ask("POST", "/runs/search", asked | ({"page_token": token} if token else {}))

        def models(token: str | None) -> dict[str, object]:
            asked = {"experiment_ids": [number], "max_results": 50}
            more = {"page_token": token} if token else {}
            return self._wire.ask("POST", "/logged-models/search", asked | more)

        for ask, key, there in ((runs, "runs", self._runs), (models, "models", self._models)):
            for found in self._wire.pages(ask, key):
                whose, one = kept(found)
                for name in {whose, one.id} - {""}:
                    there.setdefault(name, []).append(one)

    # ── runs ─────────────────────────────────────────────────────────────

    def _run(self, head: Head, number: str) -> None:
        copy = self._source.run(head.id)
        if copy is None:
            return
        before = sorted(self._runs.pop(head.id, ()), key=lambda one: one.deleted)
        for there in before:
            if there.id == head.id or self._is_same(there, head, copy):
                self._pass_over(there, copy)
                return
        if before:
            self._drop(before, copy.id)
        made = ""
        try:
            self._wake(number)
            made, root = self.target.create_run(copy, number, {RUN_TAG: copy.id})
            texts = {name: value for name, value in copy.tags.items() if name != PARENT_TAG}
            self.target.log_texts(made, copy.params, {k: v for k, v in texts.items() if k not in _MARKS})
            hasher = Hasher()
            self.target.log_curves(made, self._counted(copy.id, hasher))
            files = self.target.put_files(root, self._source.files(copy.id) or ())
            copy = msgspec.structs.replace(copy, files=files)
            self.ids[copy.id], self.roots[copy.id] = made, root
            for model in self._own.get(copy.id, ()):
                self._model(model)
        except TreadleError as error:
            self._give_up(copy.id, made, error)
            return
        needs = {link.model for link in copy.models} | self._measured.get(copy.id, {}).keys()
        needs |= {copy.tags[PARENT_TAG]} if copy.tags.get(PARENT_TAG) else set()
        part = _Part(copy, made, head.stamp, hasher, {one for one in needs if one not in self.ids})
        if not part.needs:
            self._complete(part)
        for one in part.needs:
            self._waiting.setdefault(one, []).append(part)
        self._arrived(copy.id)

    def _is_same(self, there: Kept, head: Head, copy: RunCopy) -> bool:
        """Whether a run was sent whole and hasn't changed; one that hasn't ended is read for that."""
        if there.done is None:
            return False
        return there.done.stamp == head.stamp if head.stamp else there.done.tally == self._read(copy)

    def _read(self, copy: RunCopy) -> Tally:
        hasher = Hasher()
        for name, curve in self._source.curves(copy.id):
            hasher.add(name, clipped(curve))
        return run_part(copy, hasher, digests(self._source.files(copy.id)))

    def _pass_over(self, there: Kept, copy: RunCopy) -> None:
        """A run that is there: sent before, or the very same."""
        self.ids[copy.id], self.roots[copy.id] = there.id, there.root
        if there.id == copy.id or there.done is None:
            self.seen[copy.id] = self._read(copy)
        else:
            self.seen[copy.id] = there.done.tally
            if copy.tags.get(PARENT_TAG):
                self._known_parents.append((there, copy.tags[PARENT_TAG]))
            if copy.lifecycle == "deleted" and not there.deleted:
                self.target.delete_run(there.id)
        self.before += 1
        self._arrived(copy.id)
        self._progress(f"run {copy.id}")

    def _drop(self, before: Iterable[Kept], run: str) -> None:
        """Deletes what an export that was cut off left, or what has changed since."""
        for there in before:
            if not there.deleted:
                self.target.delete_run(there.id)
        for model in self._own.get(run, ()):
            same = [old for old in self._models.get(model.id, ()) if old.id == model.id]
            for old in self._models.pop(model.id, ()):
                if old.id != model.id:
                    self.target.delete_model(old.id)
            self._models[model.id] = same

    def _give_up(self, run: str, made: str, error: TreadleError) -> None:
        self._refused(f"run {run}", error)
        self.ids.pop(run, None)
        if made:
            self.target.delete_run(made)

    def _counted(self, run: str, hasher: Hasher) -> Iterator[tuple[str, Curve]]:
        for name, curve in self._source.curves(run):
            hasher.add(name, clipped(curve))
            yield name, curve

    def _arrived(self, what: str) -> None:
        """Completes the runs that waited for this only."""
        for part in self._waiting.pop(what, ()):
            part.needs.discard(what)
            if not part.needs:
                self._complete(part)

    def _complete(self, part: _Part) -> None:
        """Sends what a run has to do with others, and marks it as whole."""
        copy, target = part.copy, self.target
        links = [link for link in copy.models if link.model in self.ids]
        for link in copy.models:
            if link.model not in self.ids:
                self._tell(Trouble(f"run {copy.id}", f"the logged model {link.model} is not there"))
        try:
            used = [self.ids[link.model] for link in links if link.kind == "input"]
            target.log_inputs(part.id, copy.inputs, used)
            made = [(self.ids[link.model], link.step) for link in links if link.kind == "output"]
            target.log_outputs(part.id, made)
            for model, measured in self._measured.get(copy.id, {}).items():
                if model in self.ids:
                    target.log_model_metrics(part.id, self.ids[model], measured)
            if parent := copy.tags.get(PARENT_TAG):
                target.set_tag(part.id, PARENT_TAG, self.ids.get(parent, parent))
            target.end_run(part.id, copy)
            whole = msgspec.structs.replace(copy, models=tuple(links))
            tally = run_part(whole, part.hasher, copy.files)
            target.set_tag(part.id, DONE_TAG, msgspec.json.encode(Done(part.stamp, tally)).decode())
            if copy.lifecycle == "deleted":
                target.delete_run(part.id)
        except TreadleError as error:
            self._give_up(copy.id, part.id, error)
            return
        self.seen[copy.id] = tally
        self.added += 1
        self._progress(f"run {copy.id}")

    # ── logged models ────────────────────────────────────────────────────

    def _model(self, model: LoggedModel) -> None:
        if model.id in self.ids or model.experiment not in self.homes:
            return
        before = self._models.get(model.id, [])
        there = next((one for one in before if one.done is not None or one.id == model.id), None)
        try:
            if there is not None:
                self.ids[model.id], self.roots[model.id] = there.id, there.root
                if there.done is None or there.id == model.id:
                    self.seen[model.id] = model_part(model, digests(self._source.model_files(model)))
                else:
                    self.seen[model.id] = there.done.tally
            else:
                self._wake(self.homes[model.experiment])
                for old in before:
                    self.target.delete_model(old.id)
                self._send_model(model)
        except TreadleError as error:
            self._refused(f"logged model {model.id}", error)
            return
        self._arrived(model.id)
        self._progress(f"logged model {model.id}")

    def _send_model(self, model: LoggedModel) -> None:
        tags = {k: v for k, v in model.tags.items() if k not in _MARKS} | {MODEL_TAG: model.id}
        home, run = self.homes[model.experiment], self.ids.get(model.run, "")
        identity, root = self.target.create_model(model, home, run, tags)
        files = self.target.put_files(root, self._source.model_files(model) or ())
        tally = model_part(model, files)
        done = msgspec.json.encode(Done("", tally)).decode()
        self.target.end_model(identity, model, {DONE_TAG: done})
        self.ids[model.id], self.roots[model.id] = identity, root
        self.seen[model.id] = tally


_MARKS = (RUN_TAG, MODEL_TAG, DONE_TAG)


def digests(files: Iterable[SourceFile] | None) -> Iterator[Artifact]:
    """Files with what their bytes are, which are read for that."""
    for file in files or ():
        hasher, size = new_digest(), 0
        for piece in file.read():
            hasher.update(piece)
            size += len(piece)
        yield Artifact(file.path, hasher.hexdigest(), size)
