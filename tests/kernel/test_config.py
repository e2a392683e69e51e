from pathlib import Path

import pytest

from treadle.kernel import config as public
from treadle.kernel.config import AlsoCheck, DriftConfig, find_project, load_config, parse_config
from treadle.kernel.errors import ConfigError, NotFound

GOOD = """\
[project]
name = "toy"

[data.rows]
path = "data/rows.parquet"
time = "at"
label = "late"
label_time = "known_at"

[train]
command = "python train.py"
data = "rows"
features = ["hour", "carrier"]

[checks.groups]
by = ["carrier"]

[monitor]
every = "7d"
"""


def line_of(text, part):
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_a_good_file():
    config = parse_config(GOOD)
    assert config.model == "toy"
    train, data = config.training
    assert (train.replicas, train.holdout, train.window) == (1, "14d", None)
    assert (data.path, data.key) == ("data/rows.parquet", None)
    assert config.store.metadata == "sqlite:///.treadle/treadle.db"
    assert parse_config(GOOD + '[registry]\nmodel = "m"').model == "m"


def test_the_smallest_file():
    config = parse_config('[project]\nname = "p"')
    with pytest.raises(ConfigError, match=r"there is no \[train\] table"):
        _ = config.training


def test_more_metrics_and_groups_of_several_columns():
    groups = 'by = ["sex"]\nintersections = [["sex", "race"], ["race", "age"]]'
    checks = parse_config(
        change('by = ["carrier"]', groups)
        + "[checks.performance.also]\nrecall = { margin = 0.02, group_margin = 0.05 }\n"
    ).checks
    assert checks.performance.also == {"recall": AlsoCheck(margin=0.02, group_margin=0.05)}
    assert checks.groups.columns == ["sex", "race", "age"]


def test_drift_is_a_number_or_a_table():
    monitor = parse_config(change('every = "7d"', "drift = 0.2")).monitor
    assert monitor.of_column("hour") == monitor.of_predictions() == DriftConfig(threshold=0.2)
    more = "[monitor.drift]\nstatistic = 'ks'\n[monitor.prediction]\nthreshold = 0.3\n"
    monitor = parse_config(GOOD + more + "[monitor.columns.hour]\nthreshold = 0.4\n").monitor
    assert monitor.of_column("carrier") == DriftConfig(statistic="ks")
    assert monitor.of_column("hour") == DriftConfig(statistic="ks", threshold=0.4)
    assert monitor.of_predictions() == DriftConfig(threshold=0.3)


def test_a_task_that_can_not_be_served_can_be_judged():
    text = '[project]\nname = "p"\ntask = "multiclass"\n[checks.performance]\nmetric = "macro_f1"\n'
    assert parse_config(text).project.task == "multiclass"


def change(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


# What is written, the line that is named (by what stands on it), and what is said.
MISTAKES = {
    "a share where a percentage belongs": (
        '[project]\nname = "p"\n[serve.objective]\navailability = 0.999\n',
        "availability",
        "write 99.9",
    ),
    "signatures without keys": (GOOD + "[registry]\nsigned = true\n", "signed", "there are no keys to trust"),
    "a key that is none": (
        GOOD + '[registry]\ntrusted_keys = ["ssh-rsa AAAA ada"]\n',
        "trusted_keys",
        "expected a public ed25519 key of OpenSSH",
    ),
    "soak of the first environment": (
        GOOD + '[environments.a]\nsoak = "1h"\n[environments.b]\n',
        "soak",
        "`soak` is asked of the environment before, and a is the first",
    ),
    "port of the last environment": (
        GOOD + "[environments.a]\n[environments.b]\nport = 8101\n",
        "port",
        "b is the last environment, and answers at the port of [serve]",
    ),
    "unknown stage of an environment": (
        GOOD + '[registry.stages.reviewed]\n[environments.a]\nstage = "review"\n',
        "stage =",
        "did you mean 'reviewed'?",
    ),
    "production as an environment's stage": (
        GOOD + '[registry.stages.production]\n[environments.a]\nstage = "production"\n',
        "stage =",
        "by being deployed to the last environment",
    ),
    "unknown team of an environment": (
        GOOD + '[environments.a]\nroles = ["ops"]\n',
        "roles =",
        "`roles` names 'ops', which no [teams.*] table describes",
    ),
    "name of an environment": (
        GOOD + '[environments."a b"]\n',
        "[environments",
        "can't be the name of an environment",
    ),
    "not TOML": (change('name = "toy"', 'name = "toy'), "name =", "not valid TOML"),
    "unknown table": (change("[monitor]", "[monitr]"), "[monitr]", "did you mean 'monitor'?"),
    "unknown key": (change("features =", "feature ="), "feature =", "did you mean 'features'?"),
    "unknown key of a dataset": (
        change("label_time", "labeltime"),
        "labeltime",
        "did you mean 'label_time'?",
    ),
    "unknown key below": (change("by =", "buy ="), "buy =", "[checks.groups] has no key `buy`"),
    "unknown table below": (
        change("[checks.groups]", "[checks.group]"),
        "[checks.group]",
        "did you mean 'groups'?",
    ),
    "unknown key inline": (GOOD + "budget = 1\n", "budget", "has no key `budget`"),
    "missing table": (change('[project]\nname = "toy"\n', ""), None, "the file needs `project`"),
    "missing key": (change('name = "toy"', ""), "[project]", "[project] needs `name`"),
    "missing key of a dataset": (
        change('path = "data/rows.parquet"', ""),
        "[data.rows]",
        "[data.rows] needs `path`",
    ),
    "missing command": (change('command = "python train.py"', ""), "[train]", "[train] needs `command`"),
    "a number for text": (change('"toy"', "3"), "name =", "`project.name`: expected `str`, got `int`"),
    "text for a number": (
        change('data = "rows"', 'data = "rows"\nreplicas = "two"'),
        "replicas",
        "expected `int`",
    ),
    "text for a list": (change('["hour", "carrier"]', '"hour"'), "features", "expected `array`, got `str`"),
    "a wrong item of a list": (
        change('"carrier"]\n\n', "3]\n\n"),
        "features",
        "`train.features`: expected `str`",
    ),
    "no features": (change('["hour", "carrier"]', "[]"), "features", "length >= 1"),
    "drift of an unknown statistic": (
        GOOD + '[monitor.drift]\nstatistic = "tv"\n',
        "statistic =",
        "`monitor.drift.statistic`: it can't be 'tv'",
    ),
    "drift that always matters": (
        change('every = "7d"', "drift = 0"),
        "drift =",
        "`monitor.drift`: expected `float` > 0.0",
    ),
    "a log that is shorter than a figure needs": (
        change('every = "7d"', 'keep_log = "30d"'),
        "keep_log =",
        "`monitor.keep_log` is shorter than what a performance figure looks back over",
    ),
    "a log that is shorter than a season": (
        change('every = "7d"', 'every = "1d"\nreference = "season"\nseason_weeks = 6\nkeep_log = "40d"'),
        "keep_log =",
        "`monitor.keep_log` is shorter than what a season looks back over",
    ),
    "windows that are longer than their season": (
        change('every = "7d"', 'every = "8d"\nreference = "season"'),
        "every =",
        "`monitor.every` is longer than a week",
    ),
    "an embedding of nothing": (
        GOOD + "[monitor.embeddings.text]\nsample = 500\n",
        "[monitor.embeddings.text]",
        "or the `size` of vectors that are logged",
    ),
    "an embedding that is held against nothing": (
        GOOD + "[monitor.embeddings.text]\nsize = 8\n",
        "[monitor.embeddings.text]",
        "name a Parquet file of training's vectors",
    ),
    "an embedding of inputs that there aren't": (
        GOOD + '[monitor.embeddings.text]\ninputs = "text_"\n',
        "[monitor.embeddings.text]",
        "none of `train.features` begins with 'text_'",
    ),
    "segments of values that aren't kept": (
        GOOD + '[monitor.columns.carrier]\nkeep = "hash"\n[monitor.segments.carrier]\n',
        "[monitor.segments.carrier]",
        "the log doesn't keep those of this input",
    ),
    "groups that no segment makes": (
        GOOD + "[monitor.segments.carrier]\n[monitor.fairness.carier]\n",
        "[monitor.fairness.carier]",
        "none of `[monitor.segments]`",
    ),
    "a reference group that isn't there": (
        GOOD
        + '[monitor.segments.carrier]\nvalues = ["AA", "UA"]\n[monitor.fairness.carrier]\nreference = "AU"\n',
        "[monitor.fairness.carrier]",
        "none of the segment's `values`",
    ),
    "a reference group that isn't sent": (
        GOOD + '[monitor.fairness.sex]\ngroups = ["M", "F"]\nreference = "f"\n',
        "[monitor.fairness.sex]",
        "none of the `groups`",
    ),
    "groups that are a segment's and sent": (
        GOOD + '[monitor.segments.carrier]\n[monitor.fairness.carrier]\ngroups = ["AA", "UA"]\n',
        "[monitor.fairness.carrier]",
        "not both",
    ),
    "segments made in two ways": (
        GOOD + '[monitor.segments.hour]\nvalues = ["1"]\nedges = [2]\n',
        "[monitor.segments.hour]",
        "not by both",
    ),
    "edges in no order": (
        GOOD + "[monitor.segments.hour]\nedges = [2, 1]\n",
        "[monitor.segments.hour]",
        "each greater than the one before",
    ),
    "a monitored column that is no feature": (
        GOOD + "[monitor.columns.hours]\nwatch = false\n",
        "[monitor.columns.hours]",
        "did you mean 'hour'?",
    ),
    "an unknown key of a monitored column": (
        GOOD + "[monitor.columns.hour]\nwach = false\n",
        "wach",
        "did you mean 'watch'?",
    ),
    "too few": (change('data = "rows"', 'data = "rows"\nreplicas = 0'), "replicas", ">= 1"),
    "too many": (change('data = "rows"', 'data = "rows"\nreplicas = 21'), "replicas", "<= 20"),
    "not a duration": (change('"7d"', '"7 days"'), "every", "expected a duration"),
    "an empty duration": (change('"7d"', '"0d"'), "every", "expected a duration"),
    "a number for a duration": (change('"7d"', "7"), "every", "expected `str`, got `int`"),
    "not a choice": (
        change('name = "toy"', 'name = "toy"\ntask = "clustering"'),
        "task",
        "`project.task`: it can't be 'clustering'",
    ),
    "a task that can't be served": (
        change('name = "toy"', 'name = "toy"\ntask = "ranking"') + '[checks.performance]\nmetric = "ndcg"\n',
        "task",
        "models of a ranking task can't be trained, served or monitored yet",
    ),
    "a metric of another task": (
        GOOD + '[checks.performance]\nmetric = "mae"\n',
        "metric",
        "`checks.performance.metric` 'mae' doesn't suit a binary task",
    ),
    "one more metric of another task": (
        GOOD + "[checks.performance.also]\nmae = { margin = 0.1 }\n",
        "mae",
        "`checks.performance.also.mae` doesn't suit a binary task",
    ),
    "one more metric that isn't one": (
        GOOD + "[checks.performance.also]\nrecal = { margin = 0.1 }\n",
        "recal",
        "did you mean 'recall'?",
    ),
    "one more metric without a margin": (
        GOOD + "[checks.performance.also]\nrecall = { bound = 0.1 }\n",
        "recall",
        "[checks.performance.also.recall] needs `margin`",
    ),
    "a metric twice": (
        GOOD + "[checks.performance.also]\nroc_auc = { margin = 0.1 }\n",
        "roc_auc",
        "`checks.performance.also.roc_auc` is the metric that is judged anyway",
    ),
    "an intersection of one": (
        change('by = ["carrier"]', 'by = ["carrier"]\nintersections = [["carrier"]]'),
        "intersections",
        "length >= 2",
    ),
    "a table for a value": (
        change('every = "7d"', "every = { days = 7 }"),
        "every",
        "expected `str`, got `object`",
    ),
    "a bad project name": (change('"toy"', '"my toy"'), "name =", "'my toy' can't be the name of a project"),
    "a bad dataset name": (
        change("[data.rows]", '[data."my rows"]'),
        "[data.",
        "can't be the name of a dataset",
    ),
    "a bad model name": (GOOD + '[registry]\nmodel = "a/b"\n', "model =", "can't be the name of a model"),
    "an unknown dataset": (change('data = "rows"', 'data = "row"'), "data =", "did you mean 'rows'?"),
    "no label": (change('label = "late"\n', ""), "[data.rows]", "needs `label`"),
    "no time": (change('time = "at"\n', ""), "[data.rows]", "needs `time`"),
    "the label as feature": (change('"hour",', '"late",'), "features", "'late', which gives the label away"),
    "the label's time as feature": (change('"hour",', '"known_at",'), "features", "'known_at', which gives"),
    "a share over one": (
        GOOD + "[checks.data]\nmax_null = { hour = 1.5 }\n",
        "max_null",
        "`checks.data.max_null.hour`: expected `float` <= 1.0",
    ),
    "half a range": (GOOD + "[checks.data]\nranges = { hour = [1] }\n", "ranges", "length >= 2"),
    "a date as parameter": (GOOD + "[train.params]\nd = 2026-01-01\n", "d = 2026", "`train.params.d`"),
    "not a number": (GOOD + "tolerance = nan\n", "tolerance", ">= 0.0"),
    "a wrong value in the second of two datasets": (
        GOOD + "[data.more]\npath = 3\n",
        "path = 3",
        "`data.more.path`: expected `str`, got `int`",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_with_its_line(mistake):
    text, part, said = MISTAKES[mistake]
    with pytest.raises(ConfigError) as error:
        parse_config(text, "treadle.toml")
    assert said in str(error.value)
    place = f"treadle.toml:{line_of(text, part)}" if part else "treadle.toml"
    assert error.value.where == place


def test_a_value_where_a_table_belongs():
    with pytest.raises(ConfigError, match="`monitor`: expected `object`, got `int`") as error:
        parse_config('monitor = 7\n[project]\nname = "p"')
    assert error.value.where == "treadle.toml:1"


def test_an_unknown_key_inside_an_inline_table():
    with pytest.raises(ConfigError, match=r"\[project\] has no key `nam`") as error:
        parse_config('project = { nam = "p" }')
    assert error.value.where == "treadle.toml:1"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="the file is missing") as error:
        load_config(tmp_path)
    assert error.value.fix == "run `treadle init`"


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "treadle.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="can't be read"):
        load_config(tmp_path)


def test_a_folder_in_the_files_place(tmp_path):
    (tmp_path / "treadle.toml").mkdir()
    with pytest.raises(ConfigError, match="can't be read"):
        load_config(tmp_path)


def test_the_file_is_named_in_full(tmp_path):
    (tmp_path / "treadle.toml").write_text(change('"7d"', '"x"'))
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path)
    assert error.value.where == f"{tmp_path}/treadle.toml:{line_of(GOOD, 'every')}"


def test_the_project_is_found_from_below(project, tmp_path, monkeypatch):
    below = project / "a" / "b"
    below.mkdir(parents=True)
    assert find_project(below) == project.resolve()
    monkeypatch.chdir(below)
    assert find_project(below.relative_to(Path.cwd())) == project.resolve()
    with pytest.raises(NotFound, match=r"no treadle\.toml here or above"):
        find_project(tmp_path)


def test_the_public_names_are_there():
    assert all(hasattr(public, name) for name in public.__all__)
