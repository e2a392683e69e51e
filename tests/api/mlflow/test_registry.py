"""Registered models and versions on MLflow's wire, against a real server."""

from __future__ import annotations

import secrets

import pytest


@pytest.fixture
def name(tracked):
    made = f"model {secrets.token_hex(4)}"
    assert tracked.ask("POST", "/registered-models/create", {"name": made})[0] == 200
    return made


def register(tracked, name, **more):
    body = {"name": name, "source": "s3://bucket/model"} | more
    status, answer = tracked.ask("POST", "/model-versions/create", body)
    assert status == 200, answer
    return answer["model_version"]


def model(tracked, name):
    return tracked.ask("GET", "/registered-models/get", name=name)[1]["registered_model"]


def version(tracked, name, number):
    return tracked.ask("GET", "/model-versions/get", name=name, version=number)[1]["model_version"]


def test_a_version_on_the_wire(tracked, name):
    run = tracked.ask("POST", "/runs/create", {"experiment_id": "0"})[1]["run"]["info"]["run_id"]
    made = register(
        tracked, name, run_id=run, run_link="http://x", description="d", tags=[{"key": "a", "value": "b"}]
    )
    assert made == version(tracked, name, "1")
    assert made == {
        "name": name,
        "version": "1",
        "creation_timestamp": made["creation_timestamp"],
        "last_updated_timestamp": made["creation_timestamp"],
        "current_stage": "None",
        "description": "d",
        "source": "s3://bucket/model",
        "run_id": run,
        "status": "READY",
        "tags": [{"key": "a", "value": "b"}],
        "run_link": "http://x",
    }
    uri = tracked.ask("GET", "/model-versions/get-download-uri", name=name, version="1")
    assert uri == (200, {"artifact_uri": "s3://bucket/model"})


def test_a_model_on_the_wire(tracked, name):
    register(tracked, name)
    assert tracked.ask(
        "POST", "/registered-models/alias", {"name": name, "alias": "best", "version": "1"}
    ) == (200, {})
    assert tracked.ask("POST", "/registered-models/set-tag", {"name": name, "key": "a", "value": "b"}) == (
        200,
        {},
    )
    changed = tracked.ask("PATCH", "/registered-models/update", {"name": name, "description": "words"})
    found = model(tracked, name)
    assert changed == (200, {"registered_model": found})
    assert found == {
        "name": name,
        "creation_timestamp": found["creation_timestamp"],
        "last_updated_timestamp": found["last_updated_timestamp"],
        "description": "words",
        "latest_versions": [version(tracked, name, "1")],
        "tags": [{"key": "a", "value": "b"}],
        "aliases": [{"alias": "best", "version": "1"}],
    }
    aliased = tracked.ask("GET", "/registered-models/alias", name=name, alias="best")
    assert aliased == (200, {"model_version": version(tracked, name, "1")})
    assert tracked.ask("DELETE", "/registered-models/alias", {"name": name, "alias": "best"}) == (200, {})
    assert tracked.ask("DELETE", "/registered-models/delete-tag", {"name": name, "key": "a"}) == (200, {})
    assert not {"tags", "aliases"} & model(tracked, name).keys()


def test_models_are_renamed_and_deleted(tracked, name):
    register(tracked, name)
    renamed = tracked.ask("POST", "/registered-models/rename", {"name": name, "new_name": f"{name} 2"})
    assert renamed[1]["registered_model"]["name"] == f"{name} 2"
    assert version(tracked, f"{name} 2", "1")["source"] == "s3://bucket/model"
    assert tracked.ask("DELETE", "/registered-models/delete", {"name": f"{name} 2"}) == (200, {})
    assert tracked.ask("GET", "/registered-models/get", name=f"{name} 2")[0] == 404


def test_versions_are_moved_described_tagged_and_deleted(tracked, name):
    register(tracked, name)
    register(tracked, name)
    at = {"name": name, "version": "1"}
    assert tracked.ask("POST", "/model-versions/set-tag", at | {"key": "a", "value": "b"}) == (200, {})
    described = tracked.ask("PATCH", "/model-versions/update", at | {"description": "words"})[1][
        "model_version"
    ]
    assert (described["description"], described["tags"]) == ("words", [{"key": "a", "value": "b"}])
    moved = tracked.ask("POST", "/model-versions/transition-stage", at | {"stage": "production"})
    assert moved[1]["model_version"]["current_stage"] == "Production"
    second = {"name": name, "version": "2", "stage": "Production", "archive_existing_versions": True}
    tracked.ask("POST", "/model-versions/transition-stage", second)
    assert version(tracked, name, "1")["current_stage"] == "Archived"
    for method in ("GET", "POST"):
        body = {"name": name, "stages": ["production"]}
        found = tracked.ask(method, "/registered-models/get-latest-versions", body)[1]["model_versions"]
        assert [one["version"] for one in found] == ["2"]
    assert tracked.ask("DELETE", "/model-versions/delete-tag", at | {"key": "a"}) == (200, {})
    assert "tags" not in version(tracked, name, "1")
    assert tracked.ask("DELETE", "/model-versions/delete", at) == (200, {})
    assert tracked.ask("GET", "/model-versions/get", **at)[0] == 404


def test_searches_go_page_by_page(tracked, name):
    for _ in range(3):
        register(tracked, name)
    where = {"filter": f"name = '{name}'", "order_by": "version_number ASC", "max_results": "2"}
    first = tracked.ask("GET", "/model-versions/search", **where)[1]
    rest = tracked.ask("GET", "/model-versions/search", **where, page_token=first["next_page_token"])[1]
    assert [one["version"] for one in first["model_versions"] + rest["model_versions"]] == ["1", "2", "3"]
    assert "next_page_token" not in rest
    found = tracked.ask("GET", "/registered-models/search", filter=f"name ILIKE '{name.upper()}'")[1]
    assert [one["name"] for one in found["registered_models"]] == [name]
    assert tracked.ask("GET", "/registered-models/search", filter="name = 'none'") == (200, {})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/registered-models/create", {}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "/registered-models/create", {"name": 1}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "/registered-models/create", {"name": "a/b"}, 400, "INVALID_PARAMETER_VALUE"),
        ("GET", "/registered-models/get", {"name": "none"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "/registered-models/search", {"filter": "x ="}, 400, "INVALID_PARAMETER_VALUE"),
        ("GET", "/registered-models/search", {"max_results": "1001"}, 400, "INVALID_PARAMETER_VALUE"),
        ("GET", "/model-versions/search", {"page_token": "x"}, 400, "INVALID_PARAMETER_VALUE"),
        (
            "POST",
            "/model-versions/create",
            {"name": "none", "source": "s3://a"},
            404,
            "RESOURCE_DOES_NOT_EXIST",
        ),
    ],
)
def test_what_can_not_be_done_is_told_as_mlflow_tells_it(tracked, method, path, body, status, code):
    found = tracked.ask(method, path, body)
    assert (found[0], found[1]["error_code"]) == (status, code)


def test_of_a_model_that_is_there(tracked, name):
    def code(method, path, **body):
        return tracked.ask(method, path, {"name": name} | body)[1]["error_code"]

    assert code("POST", "/registered-models/create") == "RESOURCE_ALREADY_EXISTS"
    for source in ("/etc/passwd", "file:///etc", "s3://a/../b", "runs:/other/a", "models:/m-none"):
        assert code("POST", "/model-versions/create", source=source) == "INVALID_PARAMETER_VALUE"
    assert code("GET", "/registered-models/alias", alias="none") == "INVALID_PARAMETER_VALUE"
    assert code("POST", "/registered-models/alias", alias="a", version="9") == "RESOURCE_DOES_NOT_EXIST"
    assert code("POST", "/registered-models/alias", alias="latest", version="1") == "INVALID_PARAMETER_VALUE"
    assert code("GET", "/model-versions/get", version="one") == "INVALID_PARAMETER_VALUE"
    assert (
        code("POST", "/model-versions/transition-stage", version="1", stage="x") == "INVALID_PARAMETER_VALUE"
    )


def test_mlflows_own_client_keeps_a_registry(tracked, tmp_path):
    found = tracked.run(
        """
        from mlflow.exceptions import MlflowException
        client.create_registered_model("wine", tags={"a": 1}, description="d")
        with mlflow.start_run() as run:
            mlflow.log_text("x", "model/MLmodel")
        for _ in range(3):
            client.create_model_version("wine", f"runs:/{run.info.run_id}/model", run.info.run_id)
        client.transition_model_version_stage("wine", "1", "Production")
        client.transition_model_version_stage("wine", "2", "Production", archive_existing_versions=True)
        client.set_registered_model_alias("wine", "champion", "2")
        copied = client.copy_model_version("models:/wine@champion", "port")
        client.delete_model_version("wine", "3")
        codes = []
        for do in (
            lambda: client.create_registered_model("wine"),
            lambda: client.get_registered_model("none"),
            lambda: client.create_model_version("wine", "file:///etc"),
            lambda: client.get_model_version("wine", "3"),
        ):
            try:
                do()
            except MlflowException as error:
                codes.append(error.error_code)
        wine = client.get_registered_model("wine")
        say(stages={v.version: v.current_stage for v in client.search_model_versions("name = 'wine'")},
            aliases=wine.aliases, tags=wine.tags, copied=[copied.version, copied.source], codes=codes,
            latest=[v.version for v in client.get_latest_versions("wine", stages=["Production"])],
            names=[m.name for m in client.search_registered_models("name != 'x'", order_by=["name DESC"])
                   if m.name in ("wine", "port")])
        """,
        tmp_path,
    )
    assert found == {
        "stages": {"1": "Archived", "2": "Production"},
        "aliases": {"champion": "2"},
        "tags": {"a": "1"},
        "copied": ["1", "models:/wine/2"],
        "codes": [
            "RESOURCE_ALREADY_EXISTS",
            "RESOURCE_DOES_NOT_EXIST",
            "INVALID_PARAMETER_VALUE",
            "RESOURCE_DOES_NOT_EXIST",
        ],
        "latest": ["2"],
        "names": ["wine", "port"],
    }
