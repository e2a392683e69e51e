"""Datasets with their branches and tags, and the versions that people name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from treadle.data import store as versions
from treadle.data.branches import rules, store
from treadle.data.branches.commits import NewVersion, packs_of, read_commit, write_version
from treadle.data.branches.types import DEFAULT_BRANCH, Dataset, Ref, RefKind
from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter, Written
from treadle.data.tree.trees import apply
from treadle.data.tree.types import Change
from treadle.data.types import DatasetVersion, Source
from treadle.kernel.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from treadle.kernel.names import check_name, did_you_mean, unknown
from treadle.kernel.workspace import Workspace

Refs: TypeAlias = list[Ref]
Datasets: TypeAlias = list[Dataset]


class Branches:
    """The branches of data: named lines of versions, each of which moves by itself.

    Args:
        workspace: Where everything is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    # ── datasets ─────────────────────────────────────────────────────────

    def create_dataset(self, name: str, actor: str) -> Dataset:
        """Makes a dataset with an empty branch ``main``.

        Raises:
            InvalidInput: If the name can't be one.
            AlreadyExists: If there is one.
        """
        dataset = Dataset(name=check_name("dataset", name), created_at=self._ws.clock.now(), actor=actor)
        with self._ws.database.write() as connection:
            if not store.insert_dataset(connection, dataset) or versions.latest(connection, name):
                raise AlreadyExists(f"there is a dataset {name!r}", fix="choose another name")
            store.insert_ref(
                connection,
                Ref(
                    dataset=name,
                    kind="branch",
                    name=DEFAULT_BRANCH,
                    number=None,
                    changed_at=dataset.created_at,
                    actor=actor,
                ),
            )
        return dataset

    def datasets(self) -> Datasets:
        """Every dataset, by name."""
        with self._ws.database.read() as connection:
            return store.all_datasets(connection)

    # ── versions ─────────────────────────────────────────────────────────

    def resolve(self, ref: str) -> DatasetVersion:
        """The version that a reference names: a number, a branch's head, a tag, a commit.

        Raises:
            InvalidInput: If it isn't written like a reference, or several commits begin like that.
            NotFound: If there is no such version.
        """
        named = rules.parse_ref(ref)
        with self._ws.database.read() as connection:
            newest = versions.latest(connection, named.dataset)
            if named.kind == "number":
                found = versions.by_number(connection, named.dataset, int(named.value))
            elif named.kind == "commit":
                several = versions.by_commit(connection, named.dataset, named.value)
                if len(several) > 1:
                    raise InvalidInput(f"several commits begin with {named.value}", fix="give more of it")
                found = several[0] if several else None
            else:
                name = named.value or DEFAULT_BRANCH
                kinds: tuple[RefKind, ...] = ("branch", "tag") if named.value else ("branch",)
                refs = [store.find_ref(connection, named.dataset, kind, name) for kind in kinds]
                number = next((ref.number for ref in refs if ref), None)
                found = (number and versions.by_number(connection, named.dataset, number)) or None
                if not any(refs) and not named.value:
                    found = newest  # versions of older Treadles are on no branch
            known = [
                one.name
                for kind in ("branch", "tag")
                for one in store.refs_of(connection, named.dataset, kind)
            ]
        if found is not None:
            return found
        if newest is None and not known:
            raise NotFound(
                f"{named.dataset!r} has no version yet", fix=f"make one: treadle data add {named.dataset}"
            )
        hint = did_you_mean(named.value, known) if named.kind == "name" else None
        raise NotFound(
            f"{named.dataset!r} has no version {ref.partition('@')[2] or 'on branch main'!r}",
            fix=hint or (f"the latest is {newest.ref}" if newest else "nothing was committed yet"),
        )

    def head(self, dataset: str, branch: str) -> DatasetVersion | None:
        """The version at which a branch stands; None for a branch without one, or that isn't there yet."""
        with self._ws.database.read() as connection:
            ref = store.find_ref(connection, dataset, "branch", branch)
            if ref is None and branch == DEFAULT_BRANCH:
                return versions.latest(connection, dataset)
            return versions.by_number(connection, dataset, ref.number) if ref and ref.number else None

    def is_branch(self, dataset: str, name: str) -> bool:
        """Whether a dataset has a branch of that name."""
        with self._ws.database.read() as connection:
            return store.find_ref(connection, dataset, "branch", name) is not None

    def contents(self, *of: DatasetVersion) -> Contents:
        """What reads pages and contents of some versions.

        Raises:
            NotFound: If their commits aren't kept here.
            CorruptData: If a commit can't be read.
        """
        written = packs_of(read_commit(self._ws, one.commit_id) for one in of if one.commit_id)
        cache = self._ws.state / "cache" / "packs"
        return Contents(self._ws.blobs, written.packs, written.pages, cache)

    def commit(
        self,
        dataset: str,
        branch: str,
        changes: Iterable[Change],
        *,
        actor: str,
        message: str = "",
        written: Written = Written(),  # noqa: B008 - it is frozen
        origin: tuple[Source, ...] = (),
    ) -> DatasetVersion:
        """Makes a version of a branch's head with some changes, whose contents are stored already.

        Raises:
            InvalidInput: If a path can't be one.
            NotFound: If there is no such branch, or a path that shall go isn't there.
            Conflict: If the branch moved meanwhile; nothing was changed.
            StorageFull: If no space is left; nothing was changed.
        """
        head = self.head(dataset, branch)
        contents = self.contents(*filter(None, [head]))
        with PackWriter(self._ws.blobs) as writer:
            tree = apply(head.tree if head else None, changes, contents, writer)
            made = writer.finish()
        return self.commit_tree(
            NewVersion(
                dataset=dataset,
                branch=branch,
                tree=tree,
                written=Written((*written.packs, *made.packs), made.pages),
                expected=head.number if head else None,
                message=message,
                actor=actor,
                origin=origin,
            )
        )

    def commit_tree(self, new: NewVersion) -> DatasetVersion:
        """Makes a version of a tree that is stored already.

        Raises:
            InvalidInput: If a name can't be one.
            Conflict: If the branch doesn't stand where it was expected, or is protected.
            StorageFull: If no space is left; nothing was changed.
        """
        check_name("dataset", new.dataset)
        rules.check_ref_name("branch", new.branch)
        with self._ws.database.read() as connection:
            ref = store.find_ref(connection, new.dataset, "branch", new.branch)
        if ref is not None and ref.settings.protected:
            raise Conflict(
                f"branch {new.branch!r} of {new.dataset!r} is protected: it moves by reviews",
                fix=f"commit on another branch, then: treadle data review open {new.dataset}@BRANCH",
            )
        return write_version(self._ws, new)

    # ── branches and tags ────────────────────────────────────────────────

    def refs(self, dataset: str, kind: RefKind) -> Refs:
        """The branches or the tags of a dataset, by name."""
        with self._ws.database.read() as connection:
            return store.refs_of(connection, dataset, kind)

    def create_ref(self, dataset: str, kind: RefKind, name: str, at: str, actor: str) -> Ref:
        """Makes a branch or a tag at a version; no bytes are copied.

        Args:
            dataset: The dataset.
            kind: Which of the two.
            name: Its name.
            at: The version, as a reference without the dataset: ``v3``, ``main``; the latest when empty.
            actor: Who makes it.

        Raises:
            InvalidInput: If the name can't be one.
            NotFound: If there is no such version.
            AlreadyExists: If there is one of that name.
        """
        rules.check_ref_name(kind, name)
        version = self.resolve(f"{dataset}@{at}" if at else dataset)
        ref = Ref(
            dataset=dataset,
            kind=kind,
            name=name,
            number=version.number,
            changed_at=self._ws.clock.now(),
            actor=actor,
        )
        other: RefKind = "tag" if kind == "branch" else "branch"
        with self._ws.database.write() as connection:
            taken = store.find_ref(connection, dataset, other, name)
            if taken or not store.insert_ref(connection, ref):
                raise AlreadyExists(
                    f"{dataset!r} has a {taken.kind if taken else kind} {name!r}", fix="choose another name"
                )
        return ref

    def delete_ref(self, dataset: str, kind: RefKind, name: str) -> None:
        """Removes a branch or a tag; its versions stay.

        Raises:
            NotFound: If there is none.
            Conflict: If it is the branch ``main``, or protected.
        """
        with self._ws.database.write() as connection:
            ref = store.find_ref(connection, dataset, kind, name)
            if ref is None:
                raise unknown(kind, name, [one.name for one in store.refs_of(connection, dataset, kind)])
            if ref.settings.protected or (kind, name) == ("branch", DEFAULT_BRANCH):
                raise Conflict(f"{kind} {name!r} of {dataset!r} can't be removed: it is protected")
            store.delete_ref(connection, dataset, kind, name)
