"""A load test's requests are answered, and leave no trace in logs, counts and trials."""

from __future__ import annotations

import json

import msgspec
import pytest
from replica_parts import HTTP, FolderPlatform, ids_of, one_row, options, post, running, wait_for, write_model

from treadle.deploy import Trial

PATHS = ("/v2/models/toy/infer", "/v2/models/toy/versions/7/infer", "/invocations")


def ask(url: str, path: str, **headers: str) -> int:
    body = {"dataframe_records": [{"hour": 1.0, "carrier": "AA"}]} if path == PATHS[2] else one_row()
    kind = {"content-type": "application/json"}
    return HTTP.request("POST", url + path, body=json.dumps(body).encode(), headers=kind | headers).status


@pytest.mark.parametrize("path", PATHS)
def test_what_a_load_test_asks_is_answered_and_neither_logged_nor_counted(tmp_path, path):
    platform = FolderPlatform(write_model(tmp_path / "model"))
    with running(options(tmp_path / "state"), platform) as server:
        for _ in range(3):
            assert ask(server.url, path, **{"X-Treadle-Test": "1"}) == 200
        assert ask(server.url, path, **{"x-treadle-test": "1", "x-more": "1"}) == 200
        status, answer = post(server.url, one_row())
        assert status == 200
        HTTP.request("POST", f"{server.url}/treadle/flush")
        wait_for(lambda: platform.reports[-1].requests)
    assert [name for batch in platform.batches for name in batch.ids] == ids_of(answer)
    assert (platform.reports[-1].requests, platform.reports[-1].rows) == (1, 1)


def test_what_a_load_test_asks_of_a_revision_in_trial_is_no_evidence_about_it(tmp_path):
    platform = FolderPlatform(write_model(tmp_path / "model"))
    assert platform.wanted is not None
    trial = Trial(revision=2, version=8, files=platform.wanted.files, share=0.5)
    platform.wanted = msgspec.structs.replace(platform.wanted, trial=trial)
    path = "/v2/models/toy/versions/8/infer"
    with running(options(tmp_path / "state"), platform) as server:
        wait_for(lambda: platform.reports[-1].trial)
        assert ask(server.url, path, **{"x-treadle-test": "1"}) == 200
        assert ask(server.url, path) == 200
        wait_for(lambda: platform.reports[-1].trial.trial.requests)
        HTTP.request("POST", f"{server.url}/treadle/flush")
    assert platform.reports[-1].trial.trial.requests == 1
    assert [version for batch in platform.batches for version in batch.version] == [8]
