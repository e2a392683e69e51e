"""The routes of load tests, asked by the client."""

from __future__ import annotations

import pytest

from treadle.client import Client
from treadle.deploy import NewLoadTest
from treadle.kernel.errors import InvalidInput, NotFound


def of_load_tests(client: Client) -> None:
    """Asks each of them, of a model without an objective to hold."""
    asked = NewLoadTest(version=1, rate=10)
    with pytest.raises(InvalidInput, match="no service level objective is declared"):
        client.load_test("toy", asked)
    job = client.start_load_test("toy", asked)
    ended = client.cancel_load_test(job.id)
    assert (ended.state, ended.result) == ("failed", None)
    assert client.load_test_job(job.id) == ended
    with pytest.raises(NotFound, match="there is no load test 'loadtest_x'"):
        client.load_test_job("loadtest_x")
    assert client.required_load_test("toy/1", "deployment") is None
    assert client.load_tests("toy", 1) == client.load_tests("toy") == []
