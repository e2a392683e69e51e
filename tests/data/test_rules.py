import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from datafiles import at
from treadle.data import Column, FileEntry, Roles, SliceSpec, rules


@given(st.lists(st.tuples(st.text(), st.integers(0, 2**40), st.text()), unique=True), st.randoms())
def test_the_digest_of_a_version_knows_no_order(entries, rng: random.Random):
    files = [FileEntry(*entry) for entry in entries]
    shuffled = files.copy()
    rng.shuffle(shuffled)
    assert rules.version_digest(files) == rules.version_digest(shuffled)


def test_the_digest_of_a_version_is_that_of_the_files_own_bytes():
    base = rules.version_digest([FileEntry("a.csv", 1, "d1", "p1")])
    assert base == rules.version_digest([FileEntry("a.csv", 1, "d1", "another conversion")])
    assert base != rules.version_digest([FileEntry("b.csv", 1, "d1")])
    assert base != rules.version_digest([FileEntry("a.csv", 1, "d2")])


def test_the_digest_of_a_slice_stays_the_same_for_ever():
    """Computed once; a change here would orphan every digest that a registry has kept."""
    spec = SliceSpec(
        dataset="flights", version="abc", since=at(1), known_by=at(2, 3), roles=Roles(time="at", label="late")
    )
    assert rules.slice_digest(spec) == "ee7c74d4c60c2e8ebb50f2a4df7d539eb8e86e823531d6d96bb8e8b805d91b28"


def test_the_digest_of_a_slice_tells_every_part():
    base = SliceSpec(dataset="a", version="v", roles=Roles())
    from msgspec.structs import replace

    others = [
        replace(base, dataset="b"),
        replace(base, version="w"),
        replace(base, since=at(1)),
        replace(base, until=at(1)),
        replace(base, known_by=at(1)),
        replace(base, roles=Roles(time="t")),
        replace(base, roles=Roles(key="t")),
    ]
    assert len({rules.slice_digest(spec) for spec in (base, *others)}) == len(others) + 1


def test_only_bounds_that_are_given_are_narrowed():
    base = SliceSpec(dataset="a", version="v", roles=Roles(time="t", label="y"))
    found = tuple(map(rules.micros, (at(3), at(5), at(7))))
    assert rules.narrow(base, *found) == base
    every = SliceSpec(dataset="a", version="v", since=at(1), until=at(9), known_by=at(9), roles=base.roles)
    narrowed = rules.narrow(every, *found)
    assert (narrowed.since, narrowed.known_by) == (at(3), at(7))
    assert narrowed.until == at(5) + timedelta(microseconds=1)
    assert rules.narrow(narrowed, *found) == narrowed


def test_names_with_quotes_stay_names():
    sql, params = rules.slice_query(
        SliceSpec(dataset="a", version="v", since=at(1), roles=Roles(time='a"b', key="k; DROP")),
        [Column("x", "INT")],
    )
    assert sql == 'SELECT * FROM t WHERE epoch_us("a""b") >= ? ORDER BY "a""b", "k; DROP", "x"'
    assert params == [1_767_225_600_000_000]


@given(st.datetimes(timezones=st.just(at(1).tzinfo)))
def test_micros_and_back(moment):
    assert rules.moment(rules.micros(moment)) == moment
