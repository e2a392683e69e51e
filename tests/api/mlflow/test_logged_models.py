"""Logged models on MLflow's wire, against a real server."""

from __future__ import annotations

import pytest


def create(tracked, **more):
    status, answer = tracked.ask("POST", "/logged-models", {"experiment_id": "0"} | more)
    assert status == 200, answer
    return answer["model"]


@pytest.fixture
def run(tracked):
    return tracked.ask("POST", "/runs/create", {"experiment_id": "0"})[1]["run"]["info"]["run_id"]


def test_a_model_from_its_first_day_to_its_last(tracked):
    made = create(
        tracked,
        name="clf",
        model_type="tree",
        source_run_id="r1",
        params=[{"key": "a", "value": "1"}],
        tags=[{"key": "t", "value": "x"}],
    )
    info, path = made["info"], f"/logged-models/{made['info']['model_id']}"
    assert info == {
        "model_id": info["model_id"],
        "experiment_id": "0",
        "name": "clf",
        "creation_timestamp_ms": info["creation_timestamp_ms"],
        "last_updated_timestamp_ms": info["creation_timestamp_ms"],
        "artifact_uri": f"mlflow-artifacts:/0/models/{info['model_id']}/artifacts",
        "status": "LOGGED_MODEL_PENDING",
        "model_type": "tree",
        "source_run_id": "r1",
        "tags": [{"key": "t", "value": "x"}],
    }
    assert made["data"] == {"params": [{"key": "a", "value": "1"}]}
    status, answer = tracked.ask(
        "PATCH", path, {"model_id": info["model_id"], "status": "LOGGED_MODEL_READY"}
    )
    assert (status, answer["model"]["info"]["status"]) == (200, "LOGGED_MODEL_READY")
    assert (
        tracked.ask("PATCH", path, {"status": 3})[1]["model"]["info"]["status"]
        == "LOGGED_MODEL_UPLOAD_FAILED"
    )
    assert tracked.ask("POST", f"{path}/params", {"params": [{"key": "b", "value": "2"}]}) == (200, {})
    assert tracked.ask("PATCH", f"{path}/tags", {"tags": [{"key": "u", "value": "y"}]}) == (200, {})
    assert tracked.ask("DELETE", f"{path}/tags/t") == (200, {})
    assert tracked.ask("PATCH", f"{path}/tags", {"tags": [{"key": "a/b", "value": "y"}]}) == (200, {})
    assert tracked.ask("DELETE", f"{path}/tags/a%2Fb") == (200, {})
    found = tracked.ask("GET", path)[1]["model"]
    assert found["info"]["tags"] == [{"key": "u", "value": "y"}]
    assert [param["key"] for param in found["data"]["params"]] == ["a", "b"]
    assert tracked.ask("DELETE", path) == (200, {})
    assert tracked.ask("GET", path)[0] == 404
    assert tracked.ask("GET", path, allow_deleted="true")[1]["model"]["info"]["name"] == "clf"


def test_the_files_of_a_model_are_listed(tracked):
    import urllib3

    made = create(tracked)["info"]
    url = f"{tracked.url}/api/2.0/mlflow-artifacts/artifacts/0/models/{made['model_id']}/artifacts"
    for name in ("MLmodel", "data/model.pkl"):
        assert urllib3.request("PUT", f"{url}/{name}", body=b"abc").status == 200
    path = f"/logged-models/{made['model_id']}/artifacts/directories"
    assert tracked.ask("GET", path)[1] == {
        "root_uri": made["artifact_uri"],
        "files": [{"path": "MLmodel", "is_dir": False, "file_size": 3}, {"path": "data", "is_dir": True}],
    }
    inside = tracked.ask("GET", path, artifact_directory_path="data")[1]["files"]
    assert [file["path"] for file in inside] == ["data/model.pkl"]
    assert tracked.ask("GET", path, artifact_directory_path="../x")[0] == 400


def test_a_search_goes_page_by_page(tracked):
    for name in ("s1", "s2", "s3"):
        create(tracked, name=name, tags=[{"key": "set", "value": "pages"}])
    asked = {
        "experiment_ids": ["0"],
        "filter": "tags.set = 'pages'",
        "order_by": [{"field_name": "name", "ascending": False}],
        "max_results": "2",
    }
    first = tracked.ask("POST", "/logged-models/search", asked)[1]
    assert [model["info"]["name"] for model in first["models"]] == ["s3", "s2"]
    rest = tracked.ask("POST", "/logged-models/search", asked | {"page_token": first["next_page_token"]})[1]
    assert [model["info"]["name"] for model in rest["models"]] == ["s1"]
    assert "next_page_token" not in rest
    datasets = {"datasets": [{"dataset_name": "none"}]}
    assert tracked.ask("POST", "/logged-models/search", asked | datasets) == (200, {})


def test_a_run_notes_what_it_made(tracked, run):
    made = create(tracked)["info"]["model_id"]
    asked = {"run_id": run, "models": [{"model_id": made, "step": "7"}]}
    assert tracked.ask("POST", "/runs/outputs", asked) == (200, {})
    assert tracked.ask("POST", "/runs/outputs", asked | {"run_id": "none"})[0] == 404


def test_an_older_client_records_its_model(tracked, run):
    model = '{"artifact_path": "m", "flavors": {"sklearn": {}}, "utc_time_created": "now", "run_id": "r"}'
    assert tracked.ask("POST", "/runs/log-model", {"run_id": run, "model_json": model}) == (200, {})
    tags = tracked.ask("GET", "/runs/get", run_id=run)[1]["run"]["data"]["tags"]
    [history] = [tag["value"] for tag in tags if tag["key"] == "mlflow.log-model.history"]
    assert '"artifact_path": "m"' in history
    for broken in ("[", "{}", "null"):
        assert tracked.ask("POST", "/runs/log-model", {"run_id": run, "model_json": broken})[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/logged-models", {}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "/logged-models", {"experiment_id": 0}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "/logged-models", {"experiment_id": "77"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("POST", "/logged-models", {"experiment_id": "0", "name": "a/b"}, 400, "INVALID_PARAMETER_VALUE"),
        ("PATCH", "/logged-models/m-none", {"status": "LOGGED_MODEL_READY"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("PATCH", "/logged-models/m-none", {"status": "DONE"}, 400, "INVALID_PARAMETER_VALUE"),
        ("PATCH", "/logged-models/m-none", {"status": 99}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "/logged-models/search", {}, 400, "INVALID_PARAMETER_VALUE"),
        (
            "POST",
            "/logged-models/search",
            {"experiment_ids": ["0"], "page_token": "x"},
            400,
            "INVALID_PARAMETER_VALUE",
        ),
        (
            "POST",
            "/logged-models/search",
            {"experiment_ids": ["0"], "max_results": -1},
            400,
            "INVALID_PARAMETER_VALUE",
        ),
        (
            "POST",
            "/logged-models/search",
            {"experiment_ids": ["0"], "datasets": [{}]},
            400,
            "INVALID_PARAMETER_VALUE",
        ),
        ("POST", "/runs/outputs", {"run_id": "x"}, 400, "INVALID_PARAMETER_VALUE"),
        ("GET", "/logged-models/m-none", None, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "/logged-models/m-none/artifacts/directories", None, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("DELETE", "/logged-models/m-none", None, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("DELETE", "/logged-models/m-none/tags/a", None, 404, "RESOURCE_DOES_NOT_EXIST"),
    ],
)
def test_what_can_not_be_done_is_told_as_mlflow_tells_it(tracked, method, path, body, status, code):
    found = tracked.ask(method, path, body)
    assert (found[0], found[1]["error_code"]) == (status, code)
    assert found[1]["message"]


def test_mlflows_own_client_logs_registers_and_loads_a_model(tracked, tmp_path):
    found = tracked.run(
        """
        class Model(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input):
                return [len(model_input)]
        mlflow.set_experiment("logged")
        with mlflow.start_run() as run:
            info = mlflow.pyfunc.log_model(
                name="clf", python_model=Model(), registered_model_name="logged", pip_requirements=["mlflow"],
                params={"depth": 3}, tags={"team": "a"},
            )
        client.set_registered_model_alias("logged", "champion", "1")
        uris = [info.model_uri, "models:/logged/1", "models:/logged@champion", f"runs:/{run.info.run_id}/clf"]
        model = client.get_logged_model(info.model_id)
        version = client.get_model_version("logged", "1")
        [searched] = mlflow.search_logged_models(filter_string="params.depth = '3'", output_format="list")
        say(predicted=[mlflow.pyfunc.load_model(uri).predict([1, 2]) for uri in uris],
            status=str(model.status), params=model.params, team=model.tags["team"],
            source=version.source == info.model_uri, run=version.run_id == run.info.run_id,
            searched=searched.model_id == info.model_id)
        """,
        tmp_path,
    )
    assert found == {
        "predicted": [[2]] * 4,
        "status": "READY",
        "params": {"depth": "3"},
        "team": "a",
        "source": True,
        "run": True,
        "searched": True,
    }
