"""A set of digests does what a set does, however they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.storage.seen import Seen


def rows(digests: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


# Few beginnings and tags, so that places collide, tags are alike, and many are there twice.
_digest = st.builds(
    lambda home, tag, rest: bytes([home]) * 8 + bytes([tag]) * 4 + bytes([rest]) * 20,
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 2),
)


@given(st.lists(st.one_of(_digest, st.lists(_digest, max_size=40)), max_size=20))
def test_what_is_new_is_told_once(asked: list[bytes | list[bytes]]) -> None:
    seen, known = Seen(), set()
    for one in asked:
        if isinstance(one, bytes):
            assert seen.add(one) == (one not in known)
            known.add(one)
            continue
        expected = []
        for digest in one:
            expected.append(digest not in known)
            known.add(digest)
        assert seen.add_many(rows(one)).tolist() == expected
    assert len(seen) == len(known)


@pytest.mark.parametrize("many", [False, True])
def test_it_grows(many: bool) -> None:
    chance = np.random.default_rng(1)
    digests = chance.integers(0, 256, (50_000, 32), np.uint8)
    digests[:, 0] = 0  # crowded in places
    digests[25_000:] = digests[:25_000]
    seen = Seen()
    if many:
        found = np.concatenate([seen.add_many(digests[at : at + 7000]) for at in range(0, 50_000, 7000)])
    else:
        found = np.array([seen.add(digest.tobytes()) for digest in digests])
    assert found[:25_000].all()
    assert not found[25_000:].any()
    assert not seen.add_many(digests[::-1]).any()
    assert len(seen) == 25_000
