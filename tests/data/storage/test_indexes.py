"""Where contents lie, and what of it is read in one piece."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treadle.data.storage.indexes import Indexes, Located
from treadle.data.storage.packs import Kind
from treadle.data.storage.writing import PackWriter
from treadle.kernel.ids import digest_bytes


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), max_size=30),
    st.integers(1, 100),
    st.integers(0, 30),
)
def test_what_lies_near_each_other_is_read_in_one_piece(lying, most, gap):
    at, offsets = 0, []
    for between, stored in lying:
        offsets.append(at + between)
        at = offsets[-1] + stored
    stored = [each for _, each in lying]
    spans = list(_located(offsets, stored).spans(most, gap))

    assert [row for span in spans for row in range(span.start, span.stop)] == list(range(len(lying)))
    ends = [offset + size for offset, size in zip(offsets, stored, strict=True)]
    for span in spans:
        within = range(span.start, span.stop - 1)
        assert all(offsets[row + 1] - ends[row] <= gap for row in within)
        assert span.stop - span.start == 1 or ends[span.stop - 1] - offsets[span.start] <= most
    for one, after in pairwise(spans):  # no piece ends before it must
        far = offsets[after.start] - ends[one.stop - 1] > gap
        assert far or ends[after.start] - offsets[one.start] > most


def test_digests_that_begin_alike_are_told_apart(workspace):
    contents = [b"%d" % i for i in range(40)]
    with PackWriter(workspace.blobs) as writer:
        for content in contents:
            writer.put(content)
        indexes = Indexes(workspace.blobs, writer.finish().packs, None)
    names = [bytes.fromhex(digest_bytes(content)) for content in contents]
    strange = names[3][:8] + bytes(24)
    wanted = np.frombuffer(b"".join([*names, strange, names[3]]), np.uint8).reshape(-1, 32)

    [found] = indexes.find_many(wanted)
    assert sorted(found.rows.tolist()) == [*range(40), 41]
    for at, row in enumerate(found.rows.tolist()):
        assert found.place(at) == indexes.find(wanted[row].tobytes())
    assert indexes.find_many(wanted, (Kind.EXTERNAL,)) == []


@given(st.lists(st.integers(0, 60), max_size=40), st.integers(1, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_content_is_found_in_the_pack_that_has_it(workspace, wanted, packs):
    """In whatever order they are asked for, some twice, some that nobody has."""
    digests = [bytes.fromhex(digest_bytes(b"%d" % number)) for number in range(61)]
    lies, written = {}, []
    for pack in range(packs):
        numbers = range(pack * 50 // packs, (pack + 1) * 50 // packs)
        with PackWriter(workspace.blobs) as writer:
            for number in numbers:
                writer.put(b"%d" % number)
            written += writer.finish().packs
        lies |= dict.fromkeys(numbers, written[-1].digest)
    indexes = Indexes(workspace.blobs, written, None)
    rows = np.frombuffer(b"".join(digests[number] for number in wanted), np.uint8).reshape(-1, 32)

    found = {row: one.pack for one in indexes.find_many(rows) for row in one.rows.tolist()}
    assert found == {row: lies[number] for row, number in enumerate(wanted) if number in lies}
    assert indexes.missing(rows).tolist() == [number not in lies for number in wanted]


def _located(offsets: list[int], stored: list[int]) -> Located:
    sizes = np.array(stored, np.int64)
    kinds = np.full(len(sizes), Kind.RAW, np.uint8)
    return Located("ab" * 32, np.arange(len(sizes)), np.array(offsets, np.int64), sizes, sizes, kinds)
