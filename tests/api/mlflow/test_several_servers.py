"""Several servers on one Postgres: the same experiments and runs, whichever is asked, and nothing lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflow_parts import TrackingServer, serve
from servers import postgres_server, postgres_url  # noqa: F401 - fixtures

pytestmark = pytest.mark.postgres
NOW = 1_700_000_000_000


@pytest.fixture
def pair(tmp_path: Path, postgres_url: str) -> Iterator[list[TrackingServer]]:  # noqa: F811 - a fixture
    """Two servers in folders of their own, with the same stores."""
    settings = f'[store]\nmetadata = "{postgres_url}"\nblobs = "{tmp_path / "blobs"}"\n'
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    first, second = (serve(folder, settings) for folder in folders)
    with_first, with_second = next(first), next(second)
    yield [with_first, with_second]
    for server in (first, second):
        next(server, None)


def at_once(count: int, work: Any) -> list[Any]:
    """What a function gives for each number, called at once from as many threads."""
    found: list[Any] = [None] * count

    def one(number: int) -> None:
        found[number] = work(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_one_name_is_given_once_by_both(pair):
    answers = at_once(20, lambda n: pair[n % 2].ask("POST", "/experiments/create", {"name": "shared"}))
    assert Counter(status for status, _ in answers) == {200: 1, 400: 19}
    assert {body["error_code"] for status, body in answers if status == 400} == {"RESOURCE_ALREADY_EXISTS"}
    ids = {
        server.ask("GET", "/experiments/get-by-name", experiment_name="shared")[1]["experiment"][
            "experiment_id"
        ]
        for server in pair
    }
    assert len(ids) == 1


def test_a_run_is_written_through_both_and_every_point_is_kept(pair):
    run = pair[0].ask("POST", "/runs/create", {"experiment_id": "0"})[1]["run"]["info"]["run_id"]
    each = 100

    def log(number: int) -> int:
        kept = 0
        for place in range(each):
            step = number * each + place
            body: dict[str, Any] = {"run_id": run}
            point = {"key": "loss", "value": float(step), "timestamp": NOW + step, "step": step}
            if place % 10 == 0:  # with a tag it is written by another way
                body |= {"metrics": [point], "tags": [{"key": f"t{number}", "value": str(place)}]}
                status, answer = pair[number % 2].ask("POST", "/runs/log-batch", body)
            else:
                status, answer = pair[number % 2].ask("POST", "/runs/log-metric", body | point)
            assert status == 200, answer
            kept += 1
        return kept

    assert at_once(8, log) == [each] * 8
    for server in pair:
        found = server.ask("GET", "/metrics/get-history", run_id=run, metric_key="loss")[1]["metrics"]
        assert [point["step"] for point in found] == list(range(8 * each))
        latest = server.ask("GET", "/runs/get", run_id=run)[1]["run"]["data"]
        assert [metric["step"] for metric in latest["metrics"]] == [8 * each - 1]
        assert {tag["key"]: tag["value"] for tag in latest["tags"] if tag["key"].startswith("t")} == {
            f"t{number}": "90" for number in range(8)
        }
