"""Archives: one version, the same identity in another Treadle, and nothing of one that isn't whole."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from blake3 import blake3

from retrain.wheel import FIRST
from treadle.evaluate import Evaluations
from treadle.experiment import Files
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, Refused, TreadleError
from treadle.kernel.workspace import Workspace
from treadle.registry import (
    Archives,
    Cards,
    CardTexts,
    Catalog,
    ModelVersion,
    NewCatalogVersion,
    Registry,
)
from treadle.registry.archive import tar
from treadle.registry.archive.types import Manifest
from treadle.registry.card.types import NewCardText
from treadle.retrain import approve
from treadle.train import Trainer

GUARDED = """
[registry.stages.production]
needs = ["verdict"]
"""


@pytest.fixture(scope="module")
def there(judged: Workspace) -> Workspace:
    """A project with a version that a cycle made and promoted, and a written card."""
    part = NewCardText(section="limits", text="Snow.")
    Cards(judged).write(CardTexts(model="toy", parts=(part,), actor="ada"))
    return judged


@pytest.fixture(scope="module")
def archive(there: Workspace) -> bytes:
    packed = Archives(there).pack("toy/1")
    data = b"".join(packed.pieces)
    assert len(data) == packed.size
    return data


def open_other(folder: Path, more: str = "") -> Workspace:
    folder.mkdir()
    (folder / "treadle.toml").write_text(f'[project]\nname = "elsewhere"\n{more}')
    return Workspace.open(folder, clock=ManualClock(FIRST))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Workspace]:
    """Another project, which has nothing."""
    workspace = open_other(tmp_path / "other")
    yield workspace
    workspace.close()


def take(workspace: Workspace, data: bytes, **more: Any) -> ModelVersion:
    path = workspace.root / "given.tar"
    path.write_bytes(data)
    return Archives(workspace).take(path, "grace", **more)


def test_it_is_a_tar_of_what_its_manifest_names(there: Workspace, archive: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        found = {member.name: members.extractfile(member).read() for member in members}  # type: ignore[union-attr]
    [name] = [name for name in found if name.startswith("manifest-")]
    raw = found.pop(name)
    assert name == f"manifest-{blake3(raw).hexdigest()}.json"
    manifest = msgspec.json.decode(raw, type=Manifest)
    assert set(found) == {f"blobs/{entry.digest}" for entry in manifest.entries}
    for entry in manifest.entries:
        data = found[f"blobs/{entry.digest}"]
        assert (blake3(data).hexdigest(), len(data)) == (entry.digest, entry.size)
    names = {entry.name for entry in manifest.entries}
    assert {
        "version.json",
        "evaluations.json",
        "card.md",
        "recipe.json",
        "files/model.onnx",
        "code",
        "code/train.py",
    } <= names
    assert b"".join(Archives(there).pack("toy/1").pieces) == archive, "the same version is the same bytes"


def test_another_treadle_takes_it_in_once_with_its_identity(
    there: Workspace, other: Workspace, archive: bytes
) -> None:
    made = Registry(there).get("toy/1")
    found = take(other, archive)
    assert (found.ref, found.id, found.status, found.origin) == ("toy/1", made.id, "candidate", "person")
    assert (found.files, found.params, found.signature, found.recipe) == (
        made.files, made.params, made.signature, made.recipe,
    )  # fmt: skip
    origin = found.imported
    assert origin is not None
    assert (origin.project, origin.ref, origin.run, origin.status, origin.actor) == (
        "toy", "toy/1", made.run, "production", "grace",
    )  # fmt: skip
    [told] = Registry(other).history("toy")
    assert told.reason == "imported from toy/1 of toy, which was production there"
    rows = {field.name: [1.0] if field.kind == "float" else ["AA"] for field in made.signature.inputs}  # type: ignore[union-attr]
    assert Registry(other).load(found).predict(rows) == pytest.approx(
        Registry(there).load(made).predict(rows)
    )
    assert Trainer(other).get_recipe(found.recipe) == Trainer(there).get_recipe(made.recipe)
    texts = {one.section: (one.text, one.actor) for one in Cards(other).texts("toy")}
    assert texts["limits"] == ("Snow.", "ada (toy)")
    assert set(texts) == {one.section for one in Cards(there).texts("toy")}
    entry = Catalog(other).version("toy", "1")
    files = Files(other)
    assert {file.path for file in files.below(files.of_uri(entry.storage, ""))} >= {"model/model.onnx"}

    before = _rows(other)
    assert take(other, archive) == found
    assert _rows(other) == before


def _rows(workspace: Workspace) -> dict[str, int]:
    import sqlalchemy as sa

    with workspace.database.read() as connection:
        names = sa.inspect(connection).get_table_names()
        return {
            name: connection.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names
        }


def test_where_it_was_made_nothing_changes(there: Workspace, archive: bytes) -> None:
    before = _rows(there)
    assert take(there, archive) == Registry(there).get("toy/1")
    assert _rows(there) == before


def test_it_may_have_another_name_and_a_number_of_its_own(other: Workspace, archive: bytes) -> None:
    Catalog(other).create_model("late")
    Catalog(other).create_version(NewCatalogVersion(model="late", source="s3://bucket/m"))
    found = take(other, archive, model="late")
    assert found.ref == "late/2"
    again = Archives(other).pack("late/2")
    onward = take(other, b"".join(again.pieces), model="third")
    assert (onward.id, onward.imported and onward.imported.ref) == (found.id, "toy/1"), "who made it stays"


def test_verdicts_of_another_are_shown_and_count_nowhere(tmp_path: Path, archive: bytes) -> None:
    other = open_other(tmp_path / "guarded", GUARDED)
    found = take(other, archive)
    made = [Evaluations(other).get(one) for one in found.evaluations]
    assert [one.outcome for one in made] == ["pass", "pass"]
    assert {one.basis.origin for one in made} == {"toy"}
    assert {one.subject.partition(":")[0] for one in made} == {"toy"}
    assert "toy" in Cards(other).render("toy/1", "md").partition("| evaluation |")[2]
    with pytest.raises(Refused, match="its evaluations came to inconclusive"):
        approve(other, "toy/1", "ada", "it passed elsewhere")
    other.close()


def test_without_files_there_is_nothing_to_export(other: Workspace) -> None:
    Catalog(other).create_model("late")
    Catalog(other).create_version(NewCatalogVersion(model="late", source="s3://bucket/m"))
    with pytest.raises(Conflict, match="files aren't kept here"):
        Archives(other).pack("late/1")


def test_the_policy_of_the_team_holds(tmp_path: Path, archive: bytes) -> None:
    other = open_other(tmp_path / "strict", '[registry]\nrequire = ["licence"]\n')
    with pytest.raises(InvalidInput, match="licence is missing"):
        take(other, archive)
    _nothing_is_kept(other)
    other.close()


# ── what isn't whole ─────────────────────────────────────────────────────


def _nothing_is_kept(workspace: Workspace) -> None:
    assert Registry(workspace).models() == []
    assert list(workspace.blobs.stored()) == []
    with workspace.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM runs").scalar() == 0


def test_no_byte_of_it_can_be_another(other: Workspace, archive: bytes) -> None:
    lots = random.Random(0)
    places = [lots.randrange(len(archive)) for _ in range(60)]
    members = range(0, len(archive), 512)
    places += [start + at for start in members[:: max(1, len(members) // 40)] for at in (0, 130, 156)]
    accepted = []
    for place in places:
        changed = bytearray(archive)
        changed[place] ^= 1 << lots.randrange(8)
        try:
            take(other, bytes(changed))
        except InvalidInput:
            continue
        accepted.append(place)
    # Only padding may differ, and what of a header this format has no use for.
    assert all(_is_filler(archive, place) for place in accepted)


def _is_filler(archive: bytes, place: int) -> bool:
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for found in members:
            if found.offset_data <= place < found.offset_data + found.size:
                return False
    return True


def test_no_part_of_it_is_taken_for_the_whole(other: Workspace, archive: bytes) -> None:
    lots = random.Random(1)
    ends = {0, 1, 511, 512, len(archive) - 1, len(archive) - 512, len(archive) - 1024}
    for end in sorted(ends | {lots.randrange(len(archive)) for _ in range(30)}):
        with pytest.raises(InvalidInput) as refused:
            take(other, archive[:end])
        assert "breaks off" in str(refused.value) or "no archive" in str(refused.value)
    _nothing_is_kept(other)


Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def rebuilt(archive: bytes, change: Change) -> bytes:
    """The archive with other members; headers are right."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        found = [(member, members.extractfile(member).read()) for member in members]  # type: ignore[union-attr]
    change(found)
    out = b""
    for member, data in found:
        member.size = len(data) if member.isreg() else 0
        out += member.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)
    return out + bytes(1024)


def manifested(manifest: Manifest) -> tuple[tarfile.TarInfo, bytes]:
    raw = tar.encode(manifest)
    return tarfile.TarInfo(f"manifest-{blake3(raw).hexdigest()}.json"), raw


def said(archive: bytes, **changes: Any) -> bytes:
    """The archive whose manifest says something else."""

    def change(found: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        manifest = msgspec.json.decode(found[0][1], type=Manifest)
        found[0] = manifested(msgspec.structs.replace(manifest, **changes))

    return rebuilt(archive, change)


def told(archive: bytes, **changes: Any) -> bytes:
    """The archive whose passport says something else, with digests that fit."""

    def change(found: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        manifest = msgspec.json.decode(found[0][1], type=Manifest)
        [entry] = [one for one in manifest.entries if one.name == "version.json"]
        place = next(i for i, (member, _) in enumerate(found) if member.name.endswith(entry.digest))
        version = msgspec.json.decode(found[place][1], type=ModelVersion)
        data = msgspec.json.encode(msgspec.structs.replace(version, **changes))
        digest = blake3(data).hexdigest()
        found[place][0].name = f"blobs/{digest}"
        found[place] = found[place][0], data
        entries = tuple(
            msgspec.structs.replace(one, digest=digest, size=len(data)) if one is entry else one
            for one in manifest.entries
        )
        found[0] = manifested(msgspec.structs.replace(manifest, entries=entries))

    return rebuilt(archive, change)


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    made.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
    return made


def added(archive: bytes, made: tarfile.TarInfo, data: bytes = b"x") -> bytes:
    return rebuilt(archive, lambda found: found.insert(1, (made, data)))


def zeros(found: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    found[-1] = found[-1][0], bytes(len(found[-1][1]))


FORGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "bytes behind it": (lambda a: a + b"\0", "behind its end"),
    "a path that leads out": (lambda a: added(a, member("../../x")), "'../../x'"),
    "an absolute path": (lambda a: added(a, member("/etc/x")), "'/etc/x'"),
    "a link": (lambda a: added(a, member("x", tarfile.SYMTYPE), b""), "no plain file"),
    "one more": (lambda a: added(a, member(f"blobs/{'0' * 64}")), "doesn't name"),
    "one twice": (lambda a: rebuilt(a, lambda f: f.append(f[1])), "doesn't name"),
    "one less": (lambda a: rebuilt(a, lambda f: f.pop() and None), "is missing"),
    "other bytes": (lambda a: rebuilt(a, zeros), "isn't what its digest says"),
    "another manifest": (lambda a: a.replace(b'"project": "toy"', b'"project": "tox"'), "its manifest isn't"),
    "a later format": (lambda a: said(a, format=2), "reads up to 1"),
    "another kind": (lambda a: said(a, kind="zip"), "no archive"),
    "another identity": (lambda a: said(a, id="0" * 64), "and it isn't"),
    "no manifest": (lambda a: rebuilt(a, lambda f: f.pop(0) and None), "no archive"),
    "something else": (lambda a: b"PK\3\4" * 400, "no archive"),
    "a passport of other files": (lambda a: told(a, files=()), "and it isn't"),
    "another recipe": (lambda a: told(a, recipe="r_1"), "and it isn't"),
    "a name that is a path": (lambda a: told(a, model="../x"), "can't be the name"),
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_is_forged_is_refused_whole(forged: str, other: Workspace, archive: bytes) -> None:
    make_it, why = FORGED[forged]
    with pytest.raises(TreadleError) as refused:
        take(other, make_it(archive))
    assert why in str(refused.value)
    _nothing_is_kept(other)


def test_a_file_of_the_model_may_not_lead_out_of_its_folder(
    other: Workspace, archive: bytes, there: Workspace
) -> None:
    files = Registry(there).get("toy/1").files
    moved = (msgspec.structs.replace(files[0], path="../../x"), *files[1:])
    with pytest.raises(CorruptData, match="does not lie in the model's folder"):
        take(other, told(archive, files=moved))
    _nothing_is_kept(other)
