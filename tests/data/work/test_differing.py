"""How a folder differs from a version is told right however the version's list is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.tree.pages import part
from treadle.data.tree.paths import Paths
from treadle.data.tree.types import Entries
from treadle.data.work.differing import tell
from treadle.data.work.types import PathChange, WorkStatus

FOLDER = st.dictionaries(st.sampled_from([f"{a}{b}" for a in "abcä/" for b in "xyz"]), st.integers(0, 2))


def columns(folder: dict[str, int]) -> Entries:
    paths = sorted(folder)
    held = np.array([folder[path] for path in paths], np.uint8)
    digests = np.repeat(np.minimum(held, 1), 32).reshape(-1, 32)
    return Entries(Paths(paths), np.ones(len(paths), np.uint64), digests, held // 2)


@given(FOLDER, FOLDER, st.lists(st.integers(0, 15)), st.integers(1, 20))
def test_it_is_told_as_by_comparing_all(before, now, cuts, limit):
    kept, mine = columns(before), columns(now)
    bounds = sorted({0, len(kept), *(cut for cut in cuts if cut < len(kept))})
    pieces = [part(kept, begin, end) for begin, end in pairwise(bounds)]
    found = tell(WorkStatus(path="data", ref="data@v1", branch="main"), iter(pieces), mine, limit)
    added, deleted = sorted(now.keys() - before.keys()), sorted(before.keys() - now.keys())
    modified = sorted(path for path in before.keys() & now.keys() if before[path] != now[path])
    assert (found.added, found.modified, found.deleted) == (len(added), len(modified), len(deleted))
    told = [PathChange(path, "added") for path in added[:limit]]
    told += [PathChange(path, "modified") for path in modified[:limit]]
    told += [PathChange(path, "deleted") for path in deleted[:limit]]
    assert found.changes == tuple(sorted(told, key=lambda one: one.path)[:limit])
