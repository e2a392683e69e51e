"""Blocks on the disk: found again, bounded, and never half of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from treadle.paths.cache import BlockCache

A, B, C = (letter * 64 for letter in "abc")


def test_a_block_is_found_again_by_another_process(tmp_path: Path) -> None:
    BlockCache(tmp_path).put(A, 3, b"abc")
    again = BlockCache(tmp_path)
    assert (again.get(A, 3, 3), again.get(A, 2, 3), again.get(B, 3, 3)) == (b"abc", None, None)


def test_a_block_of_another_size_is_not_it(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path)
    cache.put(A, 0, b"abc")
    [path] = tmp_path.glob("??/*")
    path.write_bytes(b"ab")
    assert cache.get(A, 0, 3) is None


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, limit=300)
    for age, digest in ((300, A), (200, B), (100, C)):
        cache.put(digest, 0, bytes(100))
        [path] = tmp_path.glob(f"??/{digest}-0")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    assert cache.get(A, 0, 100)  # used just now
    cache.put(A, 1, bytes(100))
    kept = [(digest, number) for digest in (A, B, C) for number in (0, 1) if cache.get(digest, number, 100)]
    assert (B, 0) not in kept
    assert {(A, 0), (A, 1)} <= set(kept)
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) <= 300


def test_what_earlier_processes_left_counts(tmp_path: Path) -> None:
    BlockCache(tmp_path, limit=1000).put(A, 0, bytes(900))
    BlockCache(tmp_path, limit=500).put(B, 0, bytes(100))
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) <= 500


def test_a_folder_that_cannot_be_written_keeps_nobody_from_reading(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = BlockCache(tmp_path / "file" / "below")
    cache.put(A, 0, b"abc")
    assert cache.get(A, 0, 3) is None


@pytest.mark.parametrize("limit", [1 << 20])
def test_no_temporary_files_stay(tmp_path: Path, limit: int) -> None:
    cache = BlockCache(tmp_path, limit)
    for number in range(10):
        cache.put(A, number, bytes(10))
    assert [path.name for path in tmp_path.rglob(".*")] == []
