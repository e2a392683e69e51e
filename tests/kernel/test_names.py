import pytest

from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.names import check_name, did_you_mean, unknown


@pytest.mark.parametrize("name", ["flights", "a", "0", "Flights-2.v_1", "x" * 100])
def test_names(name):
    assert check_name("model", name) == name


@pytest.mark.parametrize("name", ["", ".x", "-x", "_x", "a b", "a/b", "a@b", "é", "x" * 101, "a\n", "../x"])
def test_not_names(name):
    with pytest.raises(InvalidInput, match="can't be the name of a model") as error:
        check_name("model", name)
    assert error.value.fix


def test_the_nearest_name():
    assert did_you_mean("flihgts", ["flights", "weather"]) == "did you mean 'flights'?"
    assert did_you_mean("zzz", ["weather", "flights"]) == "known: flights, weather"
    assert did_you_mean("zzz", ["flights", "flights"]) == "known: flights", "each once"
    assert did_you_mean("zzz", []) is None


def test_an_unknown_name():
    error = unknown("dataset", "flihgts", ["flights"])
    assert isinstance(error, NotFound)
    assert str(error) == "there is no dataset 'flihgts'\n  → did you mean 'flights'?"
    assert unknown("run", "x", []).fix == "no run has been made yet"
