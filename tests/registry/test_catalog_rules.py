"""What may stand in the catalogue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.kernel.errors import InvalidInput
from treadle.registry.catalog_rules import (
    Source,
    check_alias,
    check_model_name,
    check_stage,
    check_version,
    read_source,
)


@pytest.mark.parametrize("name", ["a", "Weiß er nicht", "a.b", "...", "x" * 256])
def test_a_name(name):
    assert check_model_name(name) == name


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", ".", "..", "a\0", "x" * 257])
def test_a_name_that_can_not_be_one(name):
    with pytest.raises(InvalidInput, match="can't be the name of a registered model"):
        check_model_name(name)


@pytest.mark.parametrize("alias", ["", "a b", "a/b", "a.b", "a\n", "x" * 256])
def test_an_alias_that_can_not_be_one(alias):
    for new in (True, False):
        with pytest.raises(InvalidInput, match="can't be an alias"):
            check_alias(alias, new=new)


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V22"])
def test_an_alias_that_means_something_already(alias):
    assert check_alias(alias, new=False) == alias
    with pytest.raises(InvalidInput, match="is taken"):
        check_alias(alias, new=True)


@pytest.mark.parametrize(("text", "number"), [("1", 1), (" 7 ", 7), ("-1", -1), ("9" * 15, -1)])
def test_a_number(text, number):
    assert check_version(text) == number


@pytest.mark.parametrize("text", ["x", "", "1.5", "\uff11", "9" * 16])
def test_a_number_that_is_none(text):
    with pytest.raises(InvalidInput, match="is no version's number"):
        check_version(text)


@pytest.mark.parametrize("stage", ["None", "STAGING", "production", "aRchived"])
def test_a_stage_however_it_is_written(stage):
    assert check_stage(stage) == stage.capitalize()


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("s3://bucket/a/b", Source("elsewhere")),
        ("S3://bucket/a", Source("elsewhere")),
        ("gs://bucket", Source("elsewhere")),
        ("https://host/a?sig=x%2Fy", Source("elsewhere")),
        ("abfss://c@account/a b", Source("elsewhere")),
        ("dbfs:/a/b", Source("elsewhere")),
        ("runs:/r1/model/x", Source("run", "r1")),
        ("models:/m-1", Source("logged", "m-1")),
        ("models:/wine/1", Source("version", "wine", "1")),
        ("models:/wine/Production", Source("version", "wine", "Production")),
        ("models:/wine@best", Source("alias", "wine", "best")),
        ("mlflow-artifacts:/0/r/artifacts/model", Source("artifacts", "0/r/artifacts/model")),
        ("mlflow-artifacts:///0//r/", Source("artifacts", "0/r")),
        ("mlflow-artifacts://host:80/0/r", Source("artifacts", "0/r")),
        ("https://h/api/2.0/mlflow-artifacts/artifacts/0/r", Source("artifacts", "0/r")),
        ("https://h//api/2.0//mlflow-artifacts/artifacts/0/r", Source("artifacts", "0/r")),
    ],
)
def test_a_source(text, source):
    assert read_source(text) == source


@pytest.mark.parametrize(
    "text",
    [
        *("", "/etc/passwd", "etc/passwd", "./model", "../model", "C:\\a", "\\\\h\\a"),
        *("file:///etc", "FILE:/etc", "file:etc", "file://localhost/etc", " file:///etc"),
        *("s3://bucket/../a", "s3://bucket/%2e%2e/a", "s3://bucket/%252e%252e%252fa", "s3://b/a/."),
        *("s3://b/a\0", "s3://b/a%00", "s3://b/a%0a", "s3://b/..%5c..", "s3://b/" + "a" * 2000),
        *("https://h/a#/../../etc", "https://h/a?x=/../b"),
        "http://h/api/2.0/mlflow-artifacts/artifacts/0/../1",
        "http://h/api/2.0/mlflow-artifacts/artifacts/0/r?a=b",
        *("mlflow-artifacts:/../x", "mlflow-artifacts:/0/a#b", "mlflow-artifacts:/0/%2e%2e/1"),
        *("runs:/", "runs:/r1", "runs://r1/a", "runs:/r1/../x"),
        *("models:/", "models://wine/1", "models:/wine", "models:/wine/1/2", "models:/@a"),
        *("unknown:/a", "sqlite:///a", "[", "http://[", "s3://b/%" + "25" * 60 + "2e"),
    ],
)
def test_a_source_that_is_a_path_or_leads_elsewhere_is_refused(text):
    with pytest.raises(InvalidInput, match="Invalid model version source") as refused:
        read_source(text)
    assert refused.value.where == "source"


PARTS = st.sampled_from(
    ["..", ".", "%2e", "%2E%2e", "%252e", "/", "//", "%2f", "\\", "%5c", "#", "?", "a", "\0", "@", ":"]
)


@given(
    st.sampled_from(
        [
            "",
            "file:",
            "s3://b/",
            "mlflow-artifacts:/",
            "models:/",
            "runs:/r/",
            "http://h/api/2.0/mlflow-artifacts/artifacts/",
        ]
    ),
    st.lists(PARTS, max_size=8).map("".join),
)
def test_no_source_that_is_taken_leads_upwards(start, rest):
    try:
        found = read_source(start + rest)
    except InvalidInput:
        return
    assert start not in {"", "file:"}
    assert ".." not in found.first.split("/")
