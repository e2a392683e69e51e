import pickle

import msgspec
import pytest

from treadle.kernel import errors
from treadle.kernel.errors import ErrorBody, TreadleError, from_body

TREE = {
    "TreadleError": {
        "InvalidInput": {"ConfigError": {}, "CorruptData": {}, "ModelInvalid": {}},
        "NotFound": {"Deleted": {}},
        "Conflict": {"AlreadyExists": {}, "Busy": {}, "WorkspaceTooNew": {}},
        "Refused": {"BudgetExceeded": {}},
        "JobFailed": {"JobTimedOut": {}},
        "StorageError": {"StorageFull": {}},
        "Unavailable": {},
        "MissingExtra": {},
    }
}
BUILT_IN = {
    "InvalidInput": ValueError,
    "NotFound": KeyError,
    "Conflict": RuntimeError,
    "Refused": PermissionError,
    "JobFailed": RuntimeError,
    "JobTimedOut": TimeoutError,
    "StorageError": OSError,
    "Unavailable": ConnectionError,
    "MissingExtra": ImportError,
}


def tree(kind):
    ours = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return {child.__name__: tree(child) for child in ours}


def kinds(kind=TreadleError):
    """Those of the tree; rooms have some of their own, which are told as their bases."""
    ours = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(found for child in ours for found in kinds(child))]


def test_the_tree_is_what_the_docstring_draws():
    assert {"TreadleError": tree(TreadleError)} == TREE
    drawn = [line for line in errors.__doc__.splitlines() if "──" in line]
    assert [line.split("── ")[1].split()[0] for line in drawn] == [kind.__name__ for kind in kinds()[1:]]


def test_each_is_the_built_in_that_a_caller_would_expect():
    for name, built_in in BUILT_IN.items():
        assert issubclass(getattr(errors, name), built_in)


def test_codes_and_statuses():
    codes = [kind.code for kind in kinds()]
    assert len(set(codes)) == len(codes)
    assert all(400 <= kind.status < 600 for kind in kinds())
    assert {kind.status for kind in kinds(errors.InvalidInput)} == {422}


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.code)
def test_each_comes_over_the_wire_as_what_it_was(kind):
    error = kind("it broke", where="file.py:3", fix="mend it")
    wire = msgspec.json.encode(error.body())
    back = from_body(msgspec.json.decode(wire, type=ErrorBody))
    assert type(back) is kind
    assert (back.message, back.where, back.fix) == ("it broke", "file.py:3", "mend it")
    assert msgspec.json.decode(msgspec.json.encode(kind("it broke").body())) == {
        "code": kind.code,
        "message": "it broke",
    }


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.code)
def test_each_can_be_pickled(kind):
    """A durable workflow keeps the error of a step."""
    back = pickle.loads(pickle.dumps(kind("it broke", where="x", fix="y")))
    assert type(back) is kind
    assert str(back) == "x: it broke\n  → y"


def test_the_code_of_a_newer_server_is_still_an_error():
    error = from_body(ErrorBody("from_the_future", "it broke"))
    assert type(error) is TreadleError
    assert str(error) == "it broke"


def test_the_text():
    assert str(errors.NotFound("no such run")) == "no such run"
    assert str(errors.NotFound("no such run", where="runs")) == "runs: no such run"
    assert str(errors.NotFound("no such run", fix="look")) == "no such run\n  → look"
