"""Requests that can't be answered: a 400 that names the column, and the next good one is answered."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from e2e.user import User, ask


def tensor(name: str, kind: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": kind, "shape": shape or [len(data)], "data": data}


HOUR, CARRIER = tensor("hour", "FP64", [8.0]), tensor("carrier", "BYTES", ["AA"])


def sent(*inputs: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": list(inputs)}


@pytest.fixture(scope="module")
def server(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[User, str]]:
    """`treadle up` with its inference server: the project's user and the model's address."""
    folder = tmp_path_factory.mktemp("served") / "toy"
    shutil.copytree(made, folder)
    user = User(folder)
    user.edit("treadle.toml", "port = 0", "port = 0\nmax_rows = 100")
    with user.up() as url:
        yield user, url


# The body, and what of it is named in the answer.
BAD = {
    "malformed": (b'{"inputs": [', "not valid JSON"),
    "not JSON": (b"hour=8&carrier=AA", "not valid JSON"),
    "nothing": (b"", "not valid JSON"),
    "a missing column": (sent(HOUR), "'carrier' is missing"),
    "no columns": (sent(), "are missing"),
    "another column": (
        sent(HOUR, CARRIER, tensor("hours", "FP64", [8.0])),
        "no input 'hours'; did you mean 'hour'?",
    ),
    "a column twice": (sent(HOUR, HOUR, CARRIER), "'hour' is there twice"),
    "text for a number": (
        sent(tensor("hour", "BYTES", ["8"]), CARRIER),
        "'hour' has datatype BYTES; expected FP64",
    ),
    "text in a number": (
        sent(tensor("hour", "FP64", ["8"]), CARRIER),
        "'hour', row 0: \"8\" is not a number",
    ),
    "a number for text": (
        sent(HOUR, tensor("carrier", "INT64", [7])),
        "'carrier' has datatype INT64; expected BYTES",
    ),
    "another shape": (sent(tensor("hour", "FP64", [8.0], [2]), CARRIER), "'hour' has shape [2] and 1 values"),
    "two columns in one": (sent(tensor("hour", "FP64", [8.0, 9.0], [1, 2]), CARRIER), "expected [N]"),
    "unequal columns": (
        sent(tensor("hour", "FP64", [8.0, 9.0]), CARRIER),
        "input 'carrier' has 1 rows, those before it 2",
    ),
    "too many rows": (
        sent(tensor("hour", "FP64", [8.0] * 101), tensor("carrier", "BYTES", ["AA"] * 101)),
        "101 rows; at most 100",
    ),
    "NaN": (json.dumps(sent(tensor("hour", "FP64", [float("nan")]), CARRIER)).encode(), "not valid JSON"),
    "infinity": (
        b'{"inputs":[{"name":"hour","shape":[1],"datatype":"FP64","data":[1e999]}]}',
        "out of range",
    ),
    "a row without its name": (sent(HOUR, CARRIER, tensor("id", "BYTES", [None])), "'id' names each row"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_by_name_and_the_next_good_one_is_answered(
    server: tuple[User, str], name: str
) -> None:
    _, url = server
    body, what = BAD[name]
    status, answer = ask("POST", f"{url}/infer", body)
    assert (status, list(answer)) == (400, ["error"])
    assert what in answer["error"]
    assert ask("POST", f"{url}/infer", sent(HOUR, CARRIER))[0] == 200


def test_a_missing_value_is_answered_where_the_model_allows_it(server: tuple[User, str]) -> None:
    _, url = server
    status, answer = ask("POST", f"{url}/infer", sent(tensor("hour", "FP64", [None]), CARRIER))
    assert status == 200
    noon = ask("POST", f"{url}/infer", sent(tensor("hour", "FP64", [12.0]), CARRIER))[1]
    assert answer["outputs"][0]["data"] == noon["outputs"][0]["data"]


def test_a_huge_body_is_refused_before_it_is_read(server: tuple[User, str]) -> None:
    _, url = server
    host, port = re.match(r"http://([\d.]+):(\d+)", url).groups()
    with urllib3.HTTPConnectionPool(host, int(port), retries=False) as pool:
        answer = pool.request("POST", "/v2/models/toy/infer", body=b" " * (33 << 20))
        assert answer.status == 413
        assert (
            "33554432" in json.loads(answer.data)["error"].replace(",", "")
            or "32" in json.loads(answer.data)["error"]
        )
    assert ask("POST", f"{url}/infer", sent(HOUR, CARRIER))[0] == 200


def test_another_model_and_another_version_are_404(server: tuple[User, str]) -> None:
    _, url = server
    for path in ("/v2/models/tow/infer", "/v2/models/toy/versions/7/infer"):
        status, answer = ask("POST", url.replace("/v2/models/toy", path), sent(HOUR, CARRIER))
        assert (status, list(answer)) == (404, ["error"])


def test_what_was_refused_is_not_logged(server: tuple[User, str]) -> None:
    """Only what was answered is in the prediction log, each row once."""
    import duckdb
    from deltalake import DeltaTable

    user, url = server
    for number in range(3):
        named = tensor("id", "BYTES", [f"good-{number}"])
        assert ask("POST", f"{url}/infer", sent(HOUR, CARRIER, named))[0] == 200
        named = tensor("id", "BYTES", [f"bad-{number}"])
        assert ask("POST", f"{url}/infer", sent(HOUR, named))[0] == 400
    assert ask("POST", re.sub(r"/v2/.*", "/treadle/flush", url))[0] == 200
    table = DeltaTable(str(user.folder / ".treadle" / "tables" / "predictions" / "toy"))
    with duckdb.connect() as connection:
        files = table.file_uris()
        found = connection.execute("SELECT prediction_id FROM read_parquet($1)", [files]).fetchall()
    named = sorted(name for (name,) in found if name.startswith(("good-", "bad-")))
    assert named == ["good-0", "good-1", "good-2"]
