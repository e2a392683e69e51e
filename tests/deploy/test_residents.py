"""Many models in one process, of which some are in memory: loaded when asked, let go of to make room."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from replica_parts import (
    HTTP,
    FolderPlatform,
    ids_of,
    one_row,
    options,
    post,
    running,
    status,
    wait_for,
    write_model,
)
from test_fleet import ManyPlatform

from treadle.deploy import Trial, replica_options
from treadle.kernel.config import ServeConfig
from treadle.kernel.errors import InvalidInput


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("residents") / "model")


def many(folder: Path, count: int) -> ManyPlatform:
    """A platform of m0, m1, ..."""
    return ManyPlatform({f"m{number}": folder for number in range(count)})


def ask(url: str, model: str) -> tuple[int, dict]:
    return post(url, one_row(), f"/v2/models/{model}/infer")


def loaded(url: str) -> set[str]:
    """The models in memory, as the index says."""
    index = HTTP.request("POST", url + "/v2/repository/index", body=b'{"ready": true}').json()
    return {one["name"] for one in index}


def counted(url: str, name: str) -> float:
    lines = HTTP.request("GET", url + "/metrics").data.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


def test_models_are_loaded_when_asked_and_the_one_not_asked_longest_makes_room(tmp_path, folder):
    platform = many(folder, 5)
    names = tuple(platform.each)
    chosen = options(tmp_path / "state", models=names, max_models=3, pinned=("m4",))
    with running(chosen, platform) as server:
        url = server.url
        # All answer once they are asked, so the server is ready; the pinned one is here already.
        wait_for(lambda: loaded(url) == {"m4"})
        assert status(url + "/v2/models/m0/ready") == 200
        wait_for(lambda: [each.reports[-1].revision for each in platform.each.values()] == [1] * 5)
        for name in ("m0", "m1"):
            assert ask(url, name)[0] == 200
        assert loaded(url) == {"m0", "m1", "m4"}
        assert ask(url, "m0")[0] == 200
        assert ask(url, "m2")[0] == 200
        assert loaded(url) == {"m0", "m2", "m4"}
        # What a model takes and gives can be told of one that is not in memory, by loading it.
        assert HTTP.request("GET", url + "/v2/models/m3").json()["name"] == "m3"
        assert loaded(url) == {"m2", "m3", "m4"}
        index = HTTP.request("POST", url + "/v2/repository/index", body=b"").json()
        assert [one["state"] for one in index] == ["UNAVAILABLE", "UNAVAILABLE", "READY", "READY", "READY"]
        assert "when it is asked" in index[0]["reason"]
        assert (counted(url, "treadle_loads_total"), counted(url, "treadle_unloads_total")) == (4, 2)


def test_no_request_fails_while_models_take_turns(tmp_path, folder):
    platform = many(folder, 6)
    with running(options(tmp_path / "state", models=tuple(platform.each), max_models=2), platform) as server:
        held = []
        stop = threading.Event()

        def watch():
            while not stop.wait(0.005):
                held.append(sum(holder.current is not None for holder in server.fleet.holders))

        watcher = threading.Thread(target=watch)
        watcher.start()
        order = random.Random(7).choices(sorted(platform.each), k=240)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda name: ask(server.url, name), order))
        stop.set()
        watcher.join()
        assert [code for code, _ in answers] == [200] * 240
        assert [answer["model_name"] for _, answer in answers] == order
        assert counted(server.url, "treadle_unloads_total") > 20
        assert max(held) <= 2
        assert HTTP.request("POST", server.url + "/treadle/flush").status == 200
    # What was let go of has its predictions written down like any other.
    logged = {row for each in platform.each.values() for batch in each.batches for row in batch.ids}
    assert logged == {name for _, answer in answers for name in ids_of(answer)}


def test_a_damaged_model_says_so_and_the_others_go_on(tmp_path, folder):
    platform = many(folder, 3)
    broken = write_model(tmp_path / "broken")
    other = platform.each["m1"] = FolderPlatform(broken)
    platform.paths |= other.paths
    with running(options(tmp_path / "state", models=tuple(platform.each), max_models=2), platform) as server:
        url = server.url
        assert [ask(url, name)[0] for name in ("m0", "m1", "m2")] == [200] * 3
        wait_for(lambda: "m1" in loaded(url))
        assert ask(url, "m0")[0] == 200  # m1 has gone
        # The copy here is damaged while the model is not in memory: it is seen, and fetched again.
        (copy,) = (tmp_path / "state" / "models" / "m1").glob("*/model.onnx")
        copy.write_bytes(b"not what it was")
        assert ask(url, "m1")[0] == 200
        assert copy.read_bytes() == (broken / "model.onnx").read_bytes()
        assert [ask(url, name)[0] for name in ("m0", "m2")] == [200] * 2
        # Now what the platform has is damaged as well.
        copy.write_bytes(b"not what it was")
        (broken / "model.onnx").write_bytes(b"neither is this")
        for _ in range(2):
            refused = HTTP.request("POST", url + "/v2/models/m1/infer", body=msgspec.json.encode(one_row()))
            assert refused.status == 503
            assert "model 'm1' can't be loaded" in refused.json()["error"]
            assert "is not what was registered" in refused.json()["error"]
            assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert status(url + "/v2/models/m1/ready") == 503
        wait_for(lambda: other.reports[-1].failed == 1)
        assert other.reports[-1].revision is None
        assert [ask(url, name)[0] for name in ("m0", "m2")] == [200] * 2
        # Another revision makes it well.
        well = FolderPlatform(folder)
        platform.paths |= well.paths
        other.wanted = msgspec.structs.replace(well.wanted, revision=2, version=8)
        wait_for(lambda: status(url + "/v2/models/m1/versions/8") == 200)
        assert ask(url, "m1")[1]["model_version"] == "8"


def test_who_waits_for_a_model_too_long_is_told_when_to_come_again(tmp_path, folder, monkeypatch):
    from treadle.registry import LoadedModel

    entered, go_on, load = threading.Event(), threading.Event(), LoadedModel.load.__func__

    def slow(cls, path, threads=1):
        if "/m1/" in str(path):
            entered.set()
            assert go_on.wait(20)
        return load(cls, path, threads)

    platform = many(folder, 3)
    chosen = options(tmp_path / "state", models=tuple(platform.each), max_models=2, timeout=1.0)
    monkeypatch.setattr(LoadedModel, "load", classmethod(slow))
    with running(chosen, platform) as server:
        assert ask(server.url, "m0")[0] == 200
        refused = HTTP.request(
            "POST", server.url + "/v2/models/m1/infer", body=msgspec.json.encode(one_row())
        )
        assert entered.is_set()
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "still to be loaded" in refused.json()["error"]
        # Those in memory answer meanwhile; another one has to wait its turn.
        assert ask(server.url, "m0")[0] == 200
        assert ask(server.url, "m2")[0] == 503
        go_on.set()
        wait_for(lambda: ask(server.url, "m2")[0] == 200)
        assert ask(server.url, "m1")[0] == 200


def test_models_are_loaded_and_unloaded_by_the_repository_extension(tmp_path, folder):
    platform = many(folder, 3)
    chosen = options(tmp_path / "state", models=tuple(platform.each), max_models=2, pinned=("m2",))
    with running(chosen, platform) as server:
        url = server.url

        def do(name: str, what: str, method: str = "POST") -> int:
            return HTTP.request(method, f"{url}/v2/repository/models/{name}/{what}", body=b"{}").status

        assert do("m0", "load") == 200
        wait_for(lambda: loaded(url) == {"m0", "m2"})
        assert do("m0", "unload") == 200
        assert loaded(url) == {"m2"}
        assert ask(url, "m0")[0] == 200
        assert (do("m2", "unload"), do("mx", "load"), do("m0", "shake"), do("m0", "load", "GET")) == (
            409,
            404,
            404,
            405,
        )
    with running(options(tmp_path / "other", models=("m0", "m1")), many(folder, 2)) as server:
        url = server.url
        assert (do("m0", "load"), do("m0", "unload")) == (200, 409)


def test_a_new_version_is_proven_when_it_comes_and_makes_room_as_well(tmp_path, folder):
    platform = many(folder, 3)
    with running(options(tmp_path / "state", models=tuple(platform.each), max_models=1), platform) as server:
        assert ask(server.url, "m0")[0] == 200
        sleeping = platform.each["m1"]
        sleeping.wanted = msgspec.structs.replace(sleeping.wanted, revision=2, version=8)
        wait_for(lambda: sleeping.reports[-1].revision == 2)
        wait_for(lambda: len(loaded(server.url)) <= 1)
        assert ask(server.url, "m1")[1]["model_version"] == "8"


def test_pinned_models_must_leave_room(tmp_path):
    config = ServeConfig(max_models=2, pinned=("a", "b", "elsewhere"))
    with pytest.raises(InvalidInput, match="2 models are pinned, of 2"):
        replica_options(config, ["a", "b", "c"], tmp_path)
    assert replica_options(config, ["a", "b"], tmp_path).pinned == ("a", "b")
    assert replica_options(config, ["a", "c"], tmp_path).pinned == ("a",)


def test_a_model_in_trial_stays_and_its_trial_is_asked(tmp_path, folder):
    platform = many(folder, 3)
    with running(options(tmp_path / "state", models=tuple(platform.each), max_models=1), platform) as server:
        tried = platform.each["m0"]
        files = tried.wanted.files
        tried.wanted = msgspec.structs.replace(
            tried.wanted, trial=Trial(revision=2, version=8, files=files, share=0.5)
        )
        wait_for(lambda: tried.reports[-1].trial is not None)
        versions = [ask(server.url, "m0")[1]["model_version"] for _ in range(20)]
        assert {versions.count("7"), versions.count("8")} == {10}
        # Others are answered, one more than may be in memory, and the trial goes on.
        assert [ask(server.url, name)[0] for name in ("m1", "m2", "m1")] == [200] * 3
        assert ask(server.url, "m0")[0] == 200
        refused = HTTP.request("POST", server.url + "/v2/repository/models/m0/unload", body=b"{}")
        assert (refused.status, "in trial" in refused.json()["error"]) == (409, True)
        # It takes over, and can be let go of then.
        tried.wanted = msgspec.structs.replace(tried.wanted, revision=2, version=8, trial=None)
        wait_for(lambda: tried.reports[-1].revision == 2 and tried.reports[-1].trial is None)
        assert ask(server.url, "m2")[0] == 200
        wait_for(lambda: loaded(server.url) == {"m2"})
        assert ask(server.url, "m0")[1]["model_version"] == "8"
