"""Pulling: what pointers name comes from a remote, and files are made of what has come meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from treadle.data.remotes.fetching import Fetcher, Learned, Line
from treadle.data.remotes.naming import pointed
from treadle.data.remotes.pace import Pace, parse_rate
from treadle.data.remotes.remote import Remote
from treadle.data.remotes.types import Fetch, Pull, Pulled
from treadle.data.work.arriving import Arrivals
from treadle.data.work.pointer import read_pointer
from treadle.data.work.trees import WorkingTree
from treadle.data.work.types import CheckedOut, Checkout
from treadle.kernel.errors import NotFound, TreadleError
from treadle.kernel.workspace import Workspace


def pull(workspace: Workspace, asked: Pull) -> Pulled:
    """Brings what pointers name from a remote, and into the project's folder.

    Every version is made known before anything is written. Where nothing lies yet, files are made of each
    pack that has come while the next ones are on their way; where something does, it stays as it is until all
    is here.

    Raises:
        NotFound: If there is no such pointer or remote, or the remote has no such version.
        Deleted: If it was deleted before it was pushed.
        InvalidInput: If the limit is no rate, or a pointer can't be read.
        Conflict: If changes would be lost; what came from the remote is here.
        CorruptData: If something is damaged or missing at the remote: names it.
        StorageFull: If no space is left here; what has come is here for the next try.
        StorageError: If the remote fails again and again.
    """
    tree = WorkingTree(workspace)
    places = list(dict.fromkeys(tree.pointers(asked.paths)))
    if not places:
        raise NotFound(
            "the project has no pointers", fix="name what to bring: treadle data fetch NAME, or NAME@v3"
        )
    remote = Remote.open(workspace.config, workspace.root, asked.remote)
    pace = Pace(parse_rate(asked.limit) if asked.limit else None)
    fetch = Fetch(remote=asked.remote, limit=asked.limit, actor=asked.actor)
    lines: dict[str, Line] = {}
    learned: list[tuple[Path, Fetcher, Learned]] = []
    for place in places:
        one = pointed(read_pointer(place))
        if one.dataset not in lines:
            lines[one.dataset] = Line(workspace, remote, one.dataset)
        fetcher = Fetcher(workspace, remote, lines[one.dataset], fetch, pace)
        learned.append((place, fetcher, fetcher.learn(one)))
    fetched, written = [], []
    for place, fetcher, version in learned:
        written.append(_pull(tree, place, asked, fetcher, version, pace))
        fetched.append(fetcher.follow(version))
    return Pulled(fetched=tuple(fetched), written=tuple(written))


def _pull(
    tree: WorkingTree, place: Path, asked: Pull, fetcher: Fetcher, version: Learned, pace: Pace
) -> CheckedOut:
    """Brings a version's contents and makes its files at once; the error of bringing comes first."""
    arrivals = Arrivals()

    def bring() -> None:
        try:
            fetcher.bring(version, arrivals.add)
        except BaseException as error:
            arrivals.end(error)
            raise
        arrivals.end()

    with ThreadPoolExecutor(1, thread_name_prefix="treadle-bring") as pool:
        bringing = pool.submit(bring)
        try:
            written = tree.checkout_one(place, Checkout(force=asked.force), arrivals)
        except TreadleError:
            bringing.result()
            raise
        except BaseException:
            pace.stop()
            raise
        bringing.result()
    return written
