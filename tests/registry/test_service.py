"""Versions are registered whole and once; exactly one is in production; the past can be asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, ModelInvalid, NotFound, Refused
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.registry import ModelVersion, Registry
from treadle.registry import store as tables

BY = {"actor": "ann", "reason": "better"}


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    return Registry(workspace)


@pytest.fixture
def registered(registry, make_version) -> Callable[..., ModelVersion]:
    def register(run: str, **changes: Any) -> ModelVersion:
        return registry.register(make_version(run, **changes))

    return register


def promote(registry: Registry, number: int, key: str | None = None, **options: Any):
    given = BY | {"key": key or f"promote:{number}", "outcome": "pass"} | options
    return registry.promote("toy", number, **given)


def statuses(registry: Registry) -> dict[int, str]:
    return {version.number: version.status for version in registry.list("toy")}


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Runs the calls in threads that start at once; returns results and errors."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait()
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the tests look at whatever it is
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_versions_count_up_per_model(registry, registered):
    numbers = [
        registered(run, model=model).ref for run, model in [("a", "toy"), ("b", "toy"), ("c", "other")]
    ]
    assert numbers == ["toy/1", "toy/2", "other/1"]
    assert registry.models() == ["other", "toy"]
    assert [version.ref for version in registry.list("toy")] == ["toy/2", "toy/1"]
    assert len(registry.list()) == 3


def test_what_is_registered_reads_back_equal(registry, make_version, clock):
    new = make_version(cycle="c_1")
    version = registry.register(new)
    assert registry.get("toy/1") == version
    assert (version.status, version.created_at, version.recipe) == ("candidate", clock.now(), new.recipe)
    assert version.files == new.files
    [first] = registry.history("toy")
    assert (first.before, first.after, first.actor) == (None, "candidate", "cycle:c_1")


def test_a_run_is_registered_once(registry, registered):
    version = registered("a")
    promote(registry, 1)
    again = registered("a", metrics={})
    assert (again.number, again.status) == (version.number, "production")
    assert len(registry.history("toy")) == 2
    with pytest.raises(Conflict, match="toy/1"):
        registered("a", model="other")
    assert registry.models() == ["toy"]


def test_an_incomplete_version_is_refused_whole(registry, make_version, workspace):
    with pytest.raises(InvalidInput) as caught:
        registry.register(make_version(metrics={}, evaluations=()))
    assert "metrics is missing" in str(caught.value)
    assert "evaluations is missing" in str(caught.value)
    with pytest.raises(InvalidInput, match="the profile is not in the blob store"):
        registry.register(make_version(profile="0" * 64))
    with pytest.raises(InvalidInput, match="can't be the name"):
        registry.register(make_version(model="a/b"))
    assert registry.models() == []
    assert timeline(workspace.database, "model:toy") == []


def test_registering_at_once_leaves_no_gap_and_no_clash(registry, make_version):
    news = [make_version(f"run_{i % 8}") for i in range(16)]
    found = together(*[lambda new=new: registry.register(new) for new in news])
    assert sorted({version.number for version in found}) == list(range(1, 9))
    assert len({(version.run, version.number) for version in found}) == 8
    assert len(registry.history("toy")) == 8


def test_references(registry, registered):
    with pytest.raises(NotFound, match="no model 'toy'"):
        registry.get("toy")
    for run in "abc":
        registered(run)
    assert registry.get("toy").number == 3
    with pytest.raises(NotFound, match="no version of toy is in production"):
        registry.get("toy@production")
    promote(registry, 2)
    found = {ref: registry.get(ref).number for ref in ("toy", "toy@production", "toy@latest", "toy/1")}
    assert found == {"toy": 2, "toy@production": 2, "toy@latest": 3, "toy/1": 1}
    with pytest.raises(NotFound, match="did you mean 'production'"):
        registry.get("toy@prodction")
    with pytest.raises(NotFound, match="no version 9"):
        registry.get("toy/9")
    with pytest.raises(NotFound, match="did you mean 'toy'"):
        registry.get("toi/1")
    with pytest.raises(NotFound, match="did you mean 'toy'"):
        registry.list("toi")
    with pytest.raises(NotFound, match="did you mean 'toy'"):
        registry.history("toi")


def test_the_projects_model_may_have_no_versions_yet(registry):
    assert registry.list("toy") == []
    assert registry.history("toy") == []
    assert registry.production("toy") is None


def test_promotion_deprecates_what_was_there(registry, registered, workspace):
    registered("a")
    registered("b")
    [only] = promote(registry, 1)
    assert (only.before, only.after, only.override) == ("candidate", "production", False)
    old, new = promote(registry, 2)
    assert (old.number, old.after, new.number, new.after) == (1, "deprecated", 2, "production")
    assert statuses(registry) == {1: "deprecated", 2: "production"}
    assert registry.get("toy/2").approved_by == "ann"
    events = timeline(workspace.database, "model:toy")
    assert [event.kind for event in events] == [
        "registered",
        "registered",
        "promoted",
        "deprecated",
        "promoted",
    ]
    assert events[-1].message == "toy/2 promoted: better"


def test_rollback(registry, registered):
    registered("a")
    registered("b")
    promote(registry, 1)
    promote(registry, 2)
    promote(registry, 1, key="rollback")
    assert statuses(registry) == {1: "production", 2: "deprecated"}


def test_a_key_acts_once(registry, registered):
    registered("a")
    registered("b")
    first = promote(registry, 1, key="k1")
    promote(registry, 2, key="k2")
    assert promote(registry, 1, key="k1") == first
    assert statuses(registry) == {1: "deprecated", 2: "production"}
    with pytest.raises(Conflict, match="key 'k1' was used"):
        promote(registry, 2, key="k1")


def test_promoting_what_is_there_changes_nothing(registry, registered):
    registered("a")
    promote(registry, 1)
    assert promote(registry, 1, key="another", expect=7) == []
    assert len(registry.history("toy")) == 2


def test_only_a_pass_is_promoted_unless_overridden(registry, registered, workspace):
    registered("a")
    with pytest.raises(Refused, match="inconclusive"):
        promote(registry, 1, outcome="inconclusive")
    assert statuses(registry) == {1: "candidate"}
    [done] = promote(registry, 1, outcome="fail", override=True)
    assert done.override
    last = timeline(workspace.database, "model:toy")[-1]
    assert last.facts["override"] == "true"
    assert "against its gate" in last.message


def test_an_override_that_was_not_needed_is_not_recorded(registry, registered):
    registered("a")
    assert not promote(registry, 1, override=True)[0].override


def test_a_failed_promotion_leaves_everything_as_it_was(registry, registered, workspace):
    registered("a")
    registered("b")
    promote(registry, 1)
    registry.refuse("toy", 2, key="k", **BY)
    before = (statuses(registry), registry.history("toy"), timeline(workspace.database, "model:toy"))
    with pytest.raises(Conflict, match="refused can't become production"):
        promote(registry, 2)
    with pytest.raises(NotFound):
        promote(registry, 9)
    with pytest.raises(Conflict):
        registry.archive("toy", 1, key="x", **BY)
    assert (statuses(registry), registry.history("toy"), timeline(workspace.database, "model:toy")) == before


def test_waiting_for_approval(registry, registered):
    registered("a")
    [held] = registry.stage("toy", 1, key="hold", **BY)
    assert held.after == "staging"
    approve = BY | {"key": "yes", "outcome": "pass"}
    [done] = registry.approve("toy", 1, **approve)
    assert done.after == "production"
    assert registry.approve("toy", 1, **approve) == [done]
    registered("b")
    promote(registry, 2)
    assert registry.approve("toy", 1, **approve) == [done]
    with pytest.raises(Conflict, match="does not wait"):
        registry.approve("toy", 1, **(approve | {"key": "later"}))
    registry.archive("toy", 1, key="away", **BY)
    assert statuses(registry) == {1: "archived", 2: "production"}


def test_two_promotions_at_once_end_with_one_in_production(registry, registered):
    numbers = [registered(f"run_{i}").number for i in range(6)]
    outcomes = together(*[lambda n=n: promote(registry, n) for n in numbers])
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert sorted(statuses(registry).values()) == ["deprecated"] * 5 + ["production"]


def test_compare_and_swap_lets_one_win(registry, registered):
    registered("first")
    promote(registry, 1)
    numbers = [registered(f"run_{i}").number for i in range(6)]
    outcomes = together(*[lambda n=n: promote(registry, n, expect=1) for n in numbers])
    assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [Conflict] * 5
    assert sorted(statuses(registry).values()) == ["candidate"] * 5 + ["deprecated", "production"]


def test_one_key_from_many_threads_acts_once(registry, registered):
    registered("a")
    outcomes = together(*[lambda: promote(registry, 1, key="k") for _ in range(6)])
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert len(registry.history("toy")) == 2


def test_the_database_itself_allows_one_in_production(registry, registered, workspace):
    registered("a")
    registered("b")
    promote(registry, 1)
    with pytest.raises(sa.exc.IntegrityError), workspace.database.write() as connection:
        connection.execute(tables.versions.update().values(status="production"))
    assert statuses(registry) == {1: "production", 2: "candidate"}


def test_what_was_in_production_when(registry, registered, clock: ManualClock):
    registered("a")
    registered("b")
    start = clock.now()
    for day, number in ((1, 1), (10, 2), (20, 1)):
        clock.at = start + timedelta(days=day)
        promote(registry, number, key=f"day {day}")

    def at(day: float) -> int | None:
        version = registry.production("toy", start + timedelta(days=day))
        return version.number if version else None

    assert [at(day) for day in (0, 0.999, 1, 9.999, 10, 19.999, 20, 99)] == [None, None, 1, 1, 2, 2, 1, 1]
    assert registry.production("toy").number == 1
    assert registry.production("nothing", start) is None


def test_files_are_fetched_once_and_checked(registry, registered, workspace):
    version = registered("a")
    folder = registry.fetch(version)
    assert folder == workspace.state / "cache" / "models" / version.id
    assert {path.name for path in folder.iterdir()} >= {"model.onnx", "signature.json", "example.json"}
    inodes = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert registry.fetch(version) == folder
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == inodes

    (folder / "model.onnx").write_bytes(b"rotten")
    registry.fetch(version)
    assert registry.load(version).predict(
        {"hour": [0.0], "carrier": ["x"], "stops": [0], "weekend": [False]}
    ) == [0.5]
    (folder / "example.json").unlink()
    registry.fetch(version)
    assert (folder / "example.json").exists()


def test_files_can_go_to_any_folder(registry, registered, tmp_path):
    assert (registry.fetch(registered("a"), tmp_path / "out") / "model.onnx").is_file()


def test_fetching_at_once_is_safe(registry, registered):
    version = registered("a")
    folders = together(*[lambda: registry.fetch(version) for _ in range(8)])
    assert len(set(folders)) == 1
    assert not [path for path in folders[0].iterdir() if path.name.endswith(".tmp")]
    registry.load(version)


def test_a_corrupt_or_lost_blob_is_no_model(registry, registered, workspace):
    version = registered("a")
    file = next(file for file in version.files if file.path == "model.onnx")
    blob = workspace.root / ".treadle" / "blobs" / "b3" / file.digest[:2] / file.digest[2:]
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    with pytest.raises(CorruptData):
        registry.load(version)
    assert not (workspace.state / "cache" / "models" / version.id / "model.onnx").exists()
    blob.unlink()
    with pytest.raises(NotFound):
        registry.fetch(version)


def test_a_model_that_cannot_be_loaded(registry, make_version, workspace):
    new = make_version()
    garbage = workspace.blobs.put(b"not ONNX")
    files = tuple(
        type(file)(file.path, garbage, 8) if file.path == "model.onnx" else file for file in new.files
    )
    with pytest.raises(ModelInvalid, match="no ONNX model"):
        registry.load(registry.register(make_version(files=files)))
