"""MLflow's own client, unmodified, against a real server: experiments, runs, metrics, search."""

from __future__ import annotations


def test_the_fluent_interface_logs_a_whole_run(tracked, tmp_path):
    found = tracked.run(
        """
        import math
        mlflow.set_experiment("fluent")
        with mlflow.start_run(run_name="first", tags={"team": "forecast"}, description="what for") as run:
            mlflow.log_params({"depth": 3, "rate": 0.1, "kind": "tree", "flag": True})
            for step in range(5):
                mlflow.log_metric("loss", 1 / (step + 1), step=step)
            mlflow.log_metrics({"auc": 0.7, "nan": math.nan, "inf": math.inf, "minf": -math.inf}, step=9)
            mlflow.set_tags({"a": 1, "b": "two"})
            with mlflow.start_run(nested=True, run_name="child") as child:
                mlflow.log_param("depth", 4)
        ended = mlflow.get_run(run.info.run_id)
        history = client.get_metric_history(run.info.run_id, "loss")
        say(info=dict(ended.info), params=ended.data.params, tags=ended.data.tags,
            metrics={k: repr(v) for k, v in ended.data.metrics.items()},
            history=[[m.step, m.value, m.timestamp > 0] for m in history],
            parent=mlflow.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == run.info.run_id,
            experiment=mlflow.get_experiment_by_name("fluent").experiment_id == ended.info.experiment_id)
        """,
        tmp_path,
    )
    assert found["params"] == {"depth": "3", "rate": "0.1", "kind": "tree", "flag": "True"}
    assert found["metrics"] == {
        "loss": "0.2",
        "auc": "0.7",
        "nan": "nan",
        "inf": "1.7976931348623157e+308",
        "minf": "-1.7976931348623157e+308",
    }
    assert found["history"] == [[step, 1 / (step + 1), True] for step in range(5)]
    assert (
        found["tags"].items()
        >= {
            "team": "forecast",
            "a": "1",
            "b": "two",
            "mlflow.runName": "first",
            "mlflow.note.content": "what for",
        }.items()
    )
    assert (found["info"]["status"], found["info"]["run_name"]) == ("FINISHED", "first")
    assert found["info"]["end_time"] >= found["info"]["start_time"] > 1_700_000_000_000
    assert found["parent"]
    assert found["experiment"]


def test_experiments_from_their_first_day_to_their_last(tracked, tmp_path):
    found = tracked.run(
        """
        from mlflow.entities import ViewType
        from mlflow.exceptions import MlflowException
        def code(call, *given):
            try:
                call(*given)
            except MlflowException as error:
                return error.error_code
        one = client.create_experiment("life", tags={"k": "v"})
        twice = code(client.create_experiment, "life")
        client.set_experiment_tag(one, "more", "text")
        client.rename_experiment(one, "new life")
        run = client.create_run(one).info.run_id
        client.delete_experiment(one)
        deleted = client.get_experiment(one).lifecycle_stage
        gone = [e.name for e in client.search_experiments(view_type=ViewType.DELETED_ONLY)]
        into = code(client.create_run, one)
        client.restore_experiment(one)
        back = client.get_experiment(one)
        for number in range(12):
            client.create_experiment(f"many {number}", tags={"n": str(number)})
        page = client.search_experiments(max_results=5, filter_string="name LIKE 'many%'", order_by=["name"])
        rest = client.search_experiments(max_results=50, filter_string="name LIKE 'many%'",
                                         order_by=["name"], page_token=page.token)
        tagged = client.search_experiments(filter_string="tags.n = '7'")
        say(twice=twice, deleted=deleted, gone=gone, into=into,
            back=[back.name, back.tags, back.lifecycle_stage],
            default=client.get_experiment("0").name, names=[e.name for e in [*page, *rest]],
            tagged=[e.name for e in tagged], nobody=code(client.get_experiment, "777"),
            none=client.get_experiment_by_name("nobody") is None,
            bad=code(lambda: client.search_experiments(filter_string="nonsense ===")),
            state=client.get_run(run).info.lifecycle_stage)
        """,
        tmp_path,
    )
    assert found["twice"] == "RESOURCE_ALREADY_EXISTS"
    assert found["deleted"] == "deleted"
    assert found["gone"] == ["new life"]
    assert found["into"] == "INVALID_PARAMETER_VALUE"
    assert found["back"] == ["new life", {"k": "v", "more": "text"}, "active"]
    assert found["default"] == "Default"
    assert found["names"] == sorted(f"many {number}" for number in range(12))
    assert found["tagged"] == ["many 7"]
    assert found["nobody"] == "RESOURCE_DOES_NOT_EXIST"
    assert found["none"]
    assert found["bad"] == "INVALID_PARAMETER_VALUE"
    assert found["state"] == "active"


def test_runs_are_searched_ordered_and_paged(tracked, tmp_path):
    found = tracked.run(
        """
        from mlflow.entities import ViewType
        home = client.create_experiment("search")
        for number in range(30):
            run = client.create_run(home, start_time=1_700_000_000_000 + number, run_name=f"run-{number}")
            client.log_metric(run.info.run_id, "auc", 0.5 + number / 100)
            client.log_param(run.info.run_id, "depth", number % 3)
            client.set_tag(run.info.run_id, "kind", "even" if number % 2 == 0 else "odd")
            if number == 29:
                client.delete_run(run.info.run_id)
            elif number < 10:
                client.set_terminated(run.info.run_id, "FAILED")
        def names(filter="", **more):
            return [r.info.run_name for r in client.search_runs([home], filter, **more)]
        walked, token = [], None
        while True:
            page = client.search_runs(
                [home], "", max_results=7, order_by=["metrics.auc DESC"], page_token=token)
            walked += [r.info.run_name for r in page]
            token = page.token
            if not token:
                break
        frame = mlflow.search_runs([home], "params.depth = '1'", order_by=["metrics.auc ASC"])
        say(latest=names(max_results=3), best=names("metrics.auc > 0.6 and tags.kind = 'even'",
                order_by=["metrics.auc DESC"], max_results=2), walked=walked,
            failed=len(names("attributes.status = 'FAILED'")),
            deleted=names(run_view_type=ViewType.DELETED_ONLY),
            like=names("attributes.run_name LIKE 'run-2_'", order_by=["attributes.start_time ASC"]),
            frame=[list(frame["tags.mlflow.runName"])[:3], sorted(frame.columns)[:3]])
        """,
        tmp_path,
    )
    assert found["latest"] == ["run-28", "run-27", "run-26"]
    assert found["best"] == ["run-28", "run-26"]
    assert found["walked"] == [f"run-{number}" for number in range(28, -1, -1)]
    assert found["failed"] == 10
    assert found["deleted"] == ["run-29"]
    assert found["like"] == [f"run-{number}" for number in range(20, 29)]
    assert found["frame"][0] == ["run-1", "run-4", "run-7"]


def test_batches_long_curves_and_mistakes(tracked, tmp_path):
    found = tracked.run(
        """
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException
        def code(call, *given, **more):
            try:
                call(*given, **more)
            except MlflowException as error:
                return error.error_code
        run = client.create_run("0").info.run_id
        for part in range(30):
            points = [Metric("long", part * 1000 + i, 1000 + part, part * 1000 + i) for i in range(1000)]
            client.log_batch(run, points, [Param(f"p{part}", "1")], [RunTag(f"t{part}", "1")])
        client.log_batch(run, [Metric("long", 5, 1000, 5)])
        history = client.get_metric_history(run, "long")
        say(points=len(history), ordered=[m.step for m in history] == list(range(30_000)),
            changed=code(client.log_param, run, "p0", "2"), again=code(client.log_param, run, "p0", "1"),
            key=code(client.log_metric, run, "a/../b", 1.0),
            unknown=code(client.log_metric, "nobody", "a", 1.0),
            params=len(client.get_run(run).data.params))
        client.delete_run(run)
        say(deleted=code(client.log_metric, run, "a", 1.0), tag=code(client.set_tag, run, "a", 1))
        """,
        tmp_path,
    )
    assert found == {
        "points": 30_000,
        "ordered": True,
        "changed": "INVALID_PARAMETER_VALUE",
        "again": None,
        "key": "INVALID_PARAMETER_VALUE",
        "unknown": "RESOURCE_DOES_NOT_EXIST",
        "params": 30,
        "deleted": "INVALID_PARAMETER_VALUE",
        "tag": "INVALID_PARAMETER_VALUE",
    }


def test_datasets_that_a_run_used_come_back(tracked, tmp_path):
    found = tracked.run(
        """
        import pandas
        frame = pandas.DataFrame({"x": [1, 2, 3], "y": [0, 1, 0]})
        mlflow.set_experiment("inputs")
        with mlflow.start_run() as run:
            mlflow.log_input(mlflow.data.from_pandas(frame, name="rows", targets="y"), context="training")
        (used,) = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
        by_name = client.search_runs([run.info.experiment_id], "datasets.name = 'rows'")
        none = client.search_runs([run.info.experiment_id], "datasets.name = 'other'")
        say(name=used.dataset.name, tags=[[t.key, t.value] for t in used.tags],
            profile=json.loads(used.dataset.profile), found=[len(by_name), len(none)])
        """,
        tmp_path,
    )
    assert (found["name"], found["profile"]["num_rows"]) == ("rows", 3)
    assert found["tags"] == [["mlflow.data.context", "training"]]
    assert found["found"] == [1, 0]


def test_what_is_not_offered_says_what_to_use(tracked):
    status, body = tracked.ask("GET", "/traces/tr-1")
    assert (status, body["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert "OpenTelemetry" in body["message"]
    status, body = tracked.ask("GET", "/no/such/thing")
    assert (status, body["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
