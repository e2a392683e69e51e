"""Archives: a version leaves for another Treadle, or comes from one."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa
from msgspec.structs import replace

from treadle.evaluate import Evaluation, Evaluations
from treadle.experiment import Experiments, JournalBatch, LogArtifact, NewRun
from treadle.experiment.types import Finish
from treadle.kernel.errors import CorruptData, InvalidInput
from treadle.kernel.files import storage_errors
from treadle.kernel.names import check_name
from treadle.kernel.workspace import Workspace
from treadle.registry import catalog_store, rules, store
from treadle.registry.archive.reading import Incoming, read
from treadle.registry.archive.signing import check_signature
from treadle.registry.archive.types import DOCUMENTS
from treadle.registry.archive.writing import Outgoing, pack
from treadle.registry.card import store as card_store
from treadle.registry.catalog_source import storage_of_run
from treadle.registry.catalog_types import CatalogVersion
from treadle.registry.changing import enter
from treadle.registry.service import FOLDER, Registry
from treadle.registry.types import Imported, ModelVersion, NewVersion, Passport
from treadle.train import Trainer

_PIECE = 4 << 20


class Archives:
    """Versions as files that another Treadle verifies.

    Args:
        workspace: Where versions are.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def pack(self, ref: str) -> Outgoing:
        """A version as an archive: the same version, as it stands, is the same bytes.

        Raises:
            NotFound: If there is no such version, or bytes of it are gone.
            Conflict: If its files aren't kept here.
        """
        return pack(self._workspace, ref)

    def take(self, path: Path, actor: str, model: str | None = None) -> ModelVersion:
        """Takes a version in as a candidate, with the identity that it has everywhere.

        What is here already under this identity is returned as it stands. The verdicts come along
        as another's: they are shown, and no gate counts them. What people wrote on the card fills
        the parts that nobody has written here.

        Args:
            path: The archive.
            actor: Who imports it.
            model: The model's name here; as it is there when None.

        Raises:
            InvalidInput: If it is no archive, of a later format, or lacks what ``[registry] require``
                asks for.
            CorruptData: If a byte of it isn't what it should be; nothing is kept then.
            Refused: If ``[registry] signed`` asks for a signature by a trusted key, and it has none.
            Unavailable: If a signature is to be checked, and there is no ``ssh-keygen``.
        """
        with storage_errors(str(path)), path.open("rb") as file:
            incoming = read(file, "the archive")
            policy, found = self._workspace.config.registry, incoming.found
            signer = check_signature(
                found.raw, found.signature, policy.trusted_keys, "the archive", required=policy.signed
            )
            name = check_name("model", model or incoming.version.model)
            with self._workspace.database.read() as connection:
                known = _known(connection, name, incoming)
            if known is not None:
                return known
            version = self._as_here(incoming, name, actor, signer)
            self._check_complete(version)
            self._keep_blobs(file, incoming)
        if incoming.recipe is not None:
            Trainer(self._workspace).take_in(incoming.recipe)
        for made in self._evaluations(incoming):
            Evaluations(self._workspace).keep(made)
        self._run(version)
        return self._enter(version, incoming)

    def _as_here(self, incoming: Incoming, model: str, actor: str, signer: str) -> NewVersion:
        """The passport, with what only the other Treadle knows by name told as such."""
        there, manifest = incoming.version, incoming.found.manifest
        # What was imported before it was exported comes from where it was made.
        origin = there.imported
        imported = Imported(
            project=origin.project if origin else manifest.project,
            ref=origin.ref if origin else there.ref,
            run=origin.run if origin else there.run,
            cycle=origin.cycle if origin else there.cycle,
            status=there.status,
            treadle=manifest.treadle,
            archive=incoming.found.digest,
            at=self._workspace.clock.now(),
            actor=actor,
            signed_by=signer,
        )
        listed = {one.id for one in incoming.evaluations}  # some may have been gone there
        plain = {name: getattr(there, name) for name in Passport.__struct_fields__}
        plain |= {
            "imported": imported,
            "cycle": None,
            "curves": (),
            "evaluations": tuple(_named(incoming, one) for one in there.evaluations if one in listed),
        }
        run = f"import_{there.id[:16]}_{model}"
        return NewVersion(model=model, run=run, description=there.description, **plain)

    def _check_complete(self, version: NewVersion) -> None:
        lacking = rules.lacks(version, self._workspace.config.registry.require or ())
        if lacking:
            raise InvalidInput(
                f"the version is not complete: {'; '.join(lacking)}",
                where=version.model,
                fix="[registry] require of treadle.toml asks for it; nothing was imported",
            )

    def _keep_blobs(self, file: BinaryIO, incoming: Incoming) -> None:
        blobs, found = self._workspace.blobs, incoming.found
        kept = {one.digest: one.size for one in found.manifest.entries if one.name not in DOCUMENTS}
        for digest, size in kept.items():
            if blobs.claim(digest):
                continue
            file.seek(found.at[digest])
            with blobs.upload() as upload:
                while upload.size < size and (piece := file.read(min(_PIECE, size - upload.size))):
                    upload.write(piece)
                if upload.finish() != digest:
                    raise CorruptData("it changed while it was read", fix="import it again")

    def _evaluations(self, incoming: Incoming) -> list[Evaluation]:
        """The verdicts, under names that can't be those of verdicts made here."""
        project = incoming.found.manifest.project
        return [
            replace(
                one,
                id=_named(incoming, one.id),
                subject=f"{project}: {one.subject}",
                baseline=f"{project}: {one.baseline}" if one.baseline else None,
                basis=replace(one.basis, origin=one.basis.origin or project, answers=""),
            )
            for one in incoming.evaluations
        ]

    def _run(self, version: NewVersion) -> None:
        """A run that has the files, so that MLflow's clients find them."""
        assert version.imported is not None  # noqa: S101 - made above
        runs, at = Experiments(self._workspace), version.imported.at
        name = f"import of {version.imported.ref} of {version.imported.project}"
        tags = {"treadle.imported_from": version.imported.run} if version.imported.run else {}
        new = NewRun(id=version.run, name=name, started_at=at, user=version.imported.actor, tags=tags)
        run = runs.create(new)
        if run.status == "running":
            files = [LogArtifact(f"{FOLDER}/{file.path}", file.size, file.digest) for file in version.files]
            runs.apply(run.id, JournalBatch(0, [*files, Finish(at.timestamp(), "finished")]))

    def _enter(self, version: NewVersion, incoming: Incoming) -> ModelVersion:
        at, imported = self._workspace.clock.now(), version.imported
        assert imported is not None  # noqa: S101 - made above
        with self._workspace.database.write() as connection:
            catalog_store.hold_model(connection, version.model, at)
            if (known := _known(connection, version.model, incoming)) is not None:
                return known
            entry = CatalogVersion(
                model=version.model,
                number=catalog_store.next_number(connection, version.model),
                created_at=at,
                updated_at=at,
                description=version.description,
                source=f"runs:/{version.run}/{FOLDER}",
                storage=storage_of_run(connection, version.run, FOLDER),
                run=version.run,
                tags=incoming.version.tags,
            )
            enter(
                connection,
                entry,
                version,
                identity=incoming.version.id,
                origin="person",
                governed=True,
                actor=imported.actor,
                reason=_reason(imported),
                key=f"import:{incoming.version.id}",
            )
            catalog_store.update_model(connection, version.model, at)
            written = {text.section for text in card_store.history(connection, version.model)}
            for text in incoming.texts:
                if text.text and text.section not in written:
                    by = f"{text.actor} ({imported.project})"
                    card_store.add(
                        connection, replace(text, model=version.model, revision=1, actor=by, at=at)
                    )
        return Registry(self._workspace).get(f"{entry.model}/{entry.number}")


def _named(incoming: Incoming, evaluation: str) -> str:
    return f"{incoming.found.digest[:12]}_{evaluation}"


def _known(connection: sa.Connection, model: str, incoming: Incoming) -> ModelVersion | None:
    """What a model has of this identity: the version of the same number, or else the first."""
    mine = (store.versions.c.model == model, store.versions.c.id == incoming.version.id)
    found = store.list_versions(connection, *mine)
    return min(found, key=lambda one: (one.ref != incoming.version.ref, one.number), default=None)


def _reason(imported: Imported) -> str:
    return f"imported from {imported.ref} of {imported.project}, which was {imported.status} there"
