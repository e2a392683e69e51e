import pytest

from treadle.data.branches.rules import check_ref_name, parse_ref
from treadle.kernel.errors import InvalidInput


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("flights", ("flights", "latest", "")),
        ("flights@latest", ("flights", "latest", "")),
        ("a@v12", ("a", "number", "12")),
        ("a@exp/new-labels", ("a", "name", "exp/new-labels")),
        ("a@2026.03", ("a", "name", "2026.03")),
        ("a@0123abc", ("a", "commit", "0123abc")),
        ("a@" + "0f" * 32, ("a", "commit", "0f" * 32)),
        ("a@abc123", ("a", "name", "abc123")),
    ],
)
def test_refs(ref, expected):
    assert parse_ref(ref) == expected


@pytest.mark.parametrize("ref", ["a@", "a@3", "a@-x", "a@v1@v2", "a@x y", "a@/x", "a@é", "a@" + "x" * 201])
def test_refs_that_name_nothing(ref):
    with pytest.raises(InvalidInput, match="names no dataset version"):
        parse_ref(ref)


@pytest.mark.parametrize("name", ["main", "exp/new-labels", "a.b", "x", "_", "v1x", "abc123", "x" * 200])
def test_what_may_name_a_branch(name):
    assert check_ref_name("branch", name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "a b", "a@b", "-a", "a/-b", ".a", "a/.b", "a.", "a..b", "a//b", "/a", "a/", "a.lock", "é"),
        *("x" * 201, "v12", "latest", "HEAD", "head", "12", "0123abc", "deadbeef"),
    ],
)
def test_what_may_not(name):
    with pytest.raises(InvalidInput):
        check_ref_name("tag", name)
