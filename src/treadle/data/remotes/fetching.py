"""Fetching: versions come from a remote, first their pages and names, then their contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from sqlalchemy.exc import IntegrityError

from treadle.data.branches import rules
from treadle.data.branches.commits import decode_commit, read_commit
from treadle.data.branches.graph import Node, ancestors
from treadle.data.branches.merges import load_graph
from treadle.data.branches.service import Branches
from treadle.data.branches.types import DEFAULT_BRANCH, Commit, RefKind
from treadle.data.needs import Walk, tables
from treadle.data.remotes.naming import Wanted, wanted
from treadle.data.remotes.pace import Pace, parse_rate
from treadle.data.remotes.parts import bring_below
from treadle.data.remotes.pushing import broken, generations
from treadle.data.remotes.registering import follow, register, restore
from treadle.data.remotes.remote import Remote
from treadle.data.remotes.transfer import Item, Moved, Mover
from treadle.data.remotes.types import Fetch, FetchedVersion
from treadle.data.rules import gone
from treadle.data.types import DatasetVersion
from treadle.kernel.blobs import BlobStore
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.fallback import FallbackBlobs
from treadle.kernel.names import did_you_mean, unknown
from treadle.kernel.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping


def fetch(workspace: Workspace, asked: Fetch) -> list[FetchedVersion]:
    """Brings versions from a remote; each becomes known when its pages are here.

    A branch that is behind moves forward; one that went another way stays, and that is said. A version
    that is named and was deleted here is restored; those that it follows stay as they are.

    Raises:
        NotFound: If there is no such remote, or the remote has no such version.
        Deleted: If it was deleted before it was pushed.
        InvalidInput: If the limit is no rate, a pointer can't be read, or a reference names several versions.
        CorruptData: If something is damaged or missing at the remote: names it.
        StorageFull: If no space is left here; what has come is here for the next try.
        StorageError: If the remote fails again and again.
    """
    remote = Remote.open(workspace.config, workspace.root, asked.remote)
    pace = Pace(parse_rate(asked.limit) if asked.limit else None)
    chosen = wanted(workspace, asked.refs)
    if not chosen:
        raise NotFound(
            "the project has no pointers", fix="name what to bring: treadle data fetch NAME, or NAME@v3"
        )
    lines: dict[str, Line] = {}
    found = []
    for one in dict.fromkeys(chosen):
        line = lines.get(one.dataset) or Line(workspace, remote, one.dataset)
        lines[one.dataset] = line
        fetcher = Fetcher(workspace, remote, line, asked, pace)
        learned = fetcher.learn(one)
        if asked.contents:
            fetcher.bring(learned)
        found.append(fetcher.follow(learned))
    return found


class Line:
    """The versions of a dataset, here and at a remote.

    Args:
        workspace: Here.
        remote: The remote.
        dataset: The dataset.
    """

    def __init__(self, workspace: Workspace, remote: Remote, dataset: str) -> None:
        self.dataset = dataset
        here = load_graph(workspace, dataset)
        self.listed = {one.commit for one in remote.listed(dataset)}
        self.new = {one.commit_id: one for one in remote.versions(dataset, sorted(self.listed - here.keys()))}
        self.deleted = {one.commit_id: one for one in remote.deleted(dataset, here.keys() | self.listed)}
        self._remote = remote
        known = {**self.deleted, **self.new}
        self.graph: Mapping[str, Node] = {
            **{commit: Node(one.number, one.parents) for commit, one in known.items()},
            **here,
        }

    def find(self, one: Wanted) -> tuple[str, RefKind | None, str, str]:
        """The commit that is wanted, the branch or tag that was named, and what somebody should know.

        Raises:
            NotFound: If the remote has no such version.
            InvalidInput: If several commits begin like that.
        """
        named = rules.parse_ref(one.ref)
        if named.kind == "commit":
            return self._one(named.value), one.kind, one.name, ""
        if named.kind == "number":
            return self._numbered(int(named.value)), None, "", ""
        name = named.value or DEFAULT_BRANCH
        pushed = self._remote.refs(self.dataset)
        for kind in ("branch", "tag"):
            commits = [ref.commit for ref in pushed if (ref.kind, ref.name) == (kind, name)]
            if commits:
                commit, note = self._tip(commits, name)
                return commit, "tag" if kind == "tag" else "branch", name, note
        known = {ref.name for ref in pushed}
        if not known and not self.listed:
            raise unknown(
                f"dataset at remote {self._remote.name!r}",
                self.dataset,
                {each.dataset for each in self._remote.listed()},
            )
        raise NotFound(
            f"remote {self._remote.name!r} has no {name!r} of {self.dataset!r}",
            where=self._remote.url,
            fix=did_you_mean(name, known) or "push it from where it was made",
        )

    def _one(self, prefix: str) -> str:
        found = [commit for commit in self.listed | self.graph.keys() if commit.startswith(prefix)]
        if len(found) > 1:
            raise InvalidInput(f"several commits begin with {prefix}", fix="give more of it")
        if not found:
            raise NotFound(
                f"{self.dataset}@{prefix[:12]} isn't at remote {self._remote.name!r}",
                where=self._remote.url,
                fix="push it from where it was made: treadle data push",
            )
        return found[0]

    def _numbered(self, number: int) -> str:
        found = [commit for commit, node in self.graph.items() if node.number == number]
        if len(found) > 1:
            several = ", ".join(commit[:12] for commit in sorted(found))
            raise InvalidInput(
                f"several versions of {self.dataset!r} are called v{number}: {several}",
                fix=f"name one by its commit, such as {self.dataset}@{min(found)[:12]}",
            )
        if not found:
            raise NotFound(
                f"remote {self._remote.name!r} has no {self.dataset}@v{number}", where=self._remote.url
            )
        return found[0]

    def _tip(self, commits: Sequence[str], name: str) -> tuple[str, str]:
        """The commit that no other one follows."""
        followed = {
            each
            for commit in commits
            if commit in self.graph
            for each in ancestors(self.graph, self.graph[commit].parents)
        }
        tips = sorted(
            set(commits) - followed, key=lambda one: self.graph[one].number if one in self.graph else 0
        )
        if len(tips) == 1:
            return tips[0], ""
        others = ", ".join(f"{self.dataset}@{commit[:12]}" for commit in tips[:-1])
        note = f"branch {name!r} has several ends at the remote; merge the others: {others}"
        return tips[-1], note


class Learned(NamedTuple):
    """A version that is known here now; its pages are here.

    Attributes:
        version: The version.
        below: Only what lies at this path or below it is wanted; all when empty.
        called: What it is called at the remote, where that is something else.
        known: How many versions were made known.
        kind: Of what was named, if it is a branch or a tag.
        name: Its name; empty where there is none.
        note: What somebody should know.
    """

    version: DatasetVersion
    below: str
    called: str
    known: int
    kind: RefKind | None
    name: str
    note: str


class Fetcher:
    """Brings one version: first it is learned, then brought, then branches follow.

    Args:
        workspace: Here.
        remote: Where it comes from.
        line: The versions of its dataset.
        asked: How.
        pace: Holds back.
    """

    def __init__(self, workspace: Workspace, remote: Remote, line: Line, asked: Fetch, pace: Pace) -> None:
        self._ws, self._remote, self._line, self._asked = workspace, remote, line, asked
        self._mover = Mover(remote.blobs, workspace.blobs, pace)
        self._blobs = self._bytes = 0

    def learn(self, one: Wanted) -> Learned:
        """Brings a version's pages and makes it known; raises as :func:`fetch`."""
        dataset = self._line.dataset
        commit, kind, name, note = self._line.find(one)
        if commit in self._line.deleted:
            raise gone(self._line.deleted[commit])
        known = load_graph(self._ws, dataset)
        made = [each for each in self._chain(commit) if each.commit_id not in known]
        back = self._deleted_here(dataset, commit) if commit in known else None
        self._bring_pages([each for each in (*made, back) if each and (each is back or not each.deleted_at)])
        while True:
            try:
                register(self._ws, made, self._asked.actor)
                break
            except IntegrityError:  # somebody took a number meanwhile
                continue
        if back is not None:
            restore(self._ws, back, self._remote.name, self._asked.actor)
            note = note or f"{back.ref} was deleted here by {back.deleted_by}, and is there again"
        version = Branches(self._ws).resolve(f"{dataset}@{commit}")
        there = self._line.new.get(commit)
        called = there.ref if there and there.ref != version.ref else ""
        return Learned(version, one.below, called, len(made), kind, name, note)

    def bring(self, learned: Learned, arrived: Callable[[str], object] = lambda _: None) -> None:
        """Brings a version's contents; raises as :func:`fetch`.

        Args:
            learned: The version.
            arrived: Told of each pack of contents, on any thread, as soon as it is here.
        """
        version = learned.version
        commit = read_commit(self._ws, version.commit_id)
        if learned.below:
            self._bring_below(version, commit, learned.below)
            return
        packs = [Item(pack.digest, f"a pack of {version.ref}", pack.size) for pack in commit.packs]
        self._move(packs, arrived)
        walk = Walk(self._ws.blobs, strict=True)
        items = [
            Item(need.digest, f"{need.what} of {version.ref}", need.size) for need in walk.contents(commit)
        ]
        items += [Item(need.digest, f"{need.what} of {version.ref}", need.size) for need in tables(version)]
        self._move(items)

    def follow(self, learned: Learned) -> FetchedVersion:
        """Lets a branch that is behind stand at the version; tells what was done."""
        version, kind, name = learned.version, learned.kind, learned.name
        moved, why = False, ""
        if kind is not None and name:
            moved, why = follow(self._ws, version, kind, name, self._asked.actor)
        return FetchedVersion(
            ref=version.ref,
            commit=version.commit_id,
            called=learned.called,
            known=learned.known,
            branch=name if kind == "branch" else "",
            moved=moved,
            note=learned.note or why,
            blobs=self._blobs,
            bytes=self._bytes,
        )

    def _deleted_here(self, dataset: str, commit: str) -> DatasetVersion | None:
        """A version that was deleted here and that the remote has.

        Raises:
            Deleted: If the remote doesn't have it.
        """
        version = Branches(self._ws).resolve(f"{dataset}@{commit}", deleted=True)
        if version.deleted_at is None:
            return None
        if commit not in self._line.listed:
            raise gone(version)
        return version

    def _chain(self, commit: str) -> list[DatasetVersion]:
        """What has to be made known, the oldest first; also what was deleted before it was pushed."""
        commits = (
            generations(self._line.graph, [commit], self._asked.depth)
            if commit in self._line.graph
            else set()
        )
        known = {**self._line.deleted, **self._line.new}
        found = [known[one] for one in commits if one in known]
        return sorted(found, key=lambda one: one.number)

    def _bring_pages(self, made: Sequence[DatasetVersion]) -> None:
        self._move([Item(one.commit_id, f"the commit of {one.ref}") for one in made])
        items = []
        for one in made:
            commit = decode_commit(self._ws.blobs.get(one.commit_id), one.commit_id)
            items += [Item(pack.digest, f"a pack of pages of {one.ref}", pack.size) for pack in commit.pages]
        self._move(items)

    def _bring_below(self, version: DatasetVersion, commit: Commit, below: str) -> None:
        cache = self._ws.state / "cache"
        blobs = FallbackBlobs(self._ws.blobs, lambda: self._remote.blobs, cache / "ranges")
        contents = bring_below(cast("BlobStore", blobs), commit, below, cache / "packs")
        self._move([Item(one.digest, f"{one.what} of {version.ref}", one.size) for one in contents])

    def _move(self, items: Sequence[Item], arrived: Callable[[str], object] = lambda _: None) -> None:
        moved: Moved = self._mover.move(items, arrived=arrived)
        self._blobs += moved.blobs
        self._bytes += moved.bytes
        if moved.failed:
            raise broken(moved.failed, f"at remote {self._remote.name!r}")
