"""Pickles are found by what they are, and told by what they would import; nothing of them is ever run."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from treadle.kernel.errors import Refused
from treadle.registry import Pickled, check_loadable, pickles, scan_folder
from treadle.registry.pickle_names import judge

ROWS, LABELS = np.arange(40.0).reshape(20, 2), np.arange(20) % 2


class Shell:
    """What runs a command when it is loaded."""

    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/treadle-was-here",)


EVIL = {protocol: pickle.dumps({"weights": [1.0], "x": Shell()}, protocol) for protocol in range(6)}


def found(folder: Path, name: str, data: bytes) -> list[Pickled]:
    path = folder / name
    path.write_bytes(data)
    return pickles.scan(path, name)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        HistGradientBoostingClassifier(max_iter=2),
        RandomForestRegressor(n_estimators=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_estimators_import_libraries_of_models_only(tmp_path, model):
    model.fit(ROWS, LABELS)
    for dumps in (pickle.dumps, cloudpickle.dumps):
        assert found(tmp_path, "model.pkl", dumps(model)) == [Pickled("model.pkl", "known")]


@pytest.mark.parametrize("protocol", EVIL)
@pytest.mark.parametrize("name", ["model.pkl", "weights.txt"])
def test_a_command_is_found_in_every_protocol_whatever_the_file_is_called(tmp_path, protocol, name):
    (one,) = found(tmp_path, name, EVIL[protocol])
    assert (one.verdict, one.names) == ("dangerous", ("posix.system",))


def test_joblib_files_are_read_through_their_compression_and_past_their_arrays(tmp_path):
    model = LogisticRegression().fit(ROWS, LABELS)
    for compress, verdict in ((0, "code"), (("zlib", 3), "code"), (("gzip", 3), "code"), (("xz", 1), "code")):
        path = tmp_path / "model.joblib"
        joblib.dump(model, path, compress=compress)
        assert [one.verdict for one in pickles.scan(path, path.name)] == [verdict], compress
        joblib.dump([np.arange(5000.0), Shell()], path, compress=compress)
        assert [one.verdict for one in pickles.scan(path, path.name)] == ["dangerous"], compress


def archive(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return packed.getvalue()


def test_archives_are_looked_into_and_bombs_are_not_unpacked(tmp_path):
    assert found(
        tmp_path, "weights.pt", archive(**{"archive/data.pkl": EVIL[2], "archive/data/0": b"\0" * 64})
    ) == [Pickled("weights.pt:archive/data.pkl", "dangerous", ("posix.system",))]
    arrays = io.BytesIO()
    np.savez(arrays, a=np.arange(3))
    assert found(tmp_path, "a.npz", arrays.getvalue()) == []
    (bomb,) = found(tmp_path, "bomb.zip", archive(data=b"\0" * (80 << 20)))
    assert (bomb.verdict, bomb.names) == ("dangerous", ("1 members that unpack to 80 MiB",))
    (nested,) = found(tmp_path, "nested.zip", archive(inner=archive(x=EVIL[2])))
    assert nested.verdict == "code"
    (broken,) = found(tmp_path, "broken.pt", archive(a=b"1")[:40])
    assert (broken.verdict, "can't be read" in broken.names[0]) == ("dangerous", True)


def test_what_unpacks_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "_MOST", 1 << 20)
    for data in (
        gzip.compress(b"\x80\x04" + b"N0" * (1 << 20)),
        zlib.compress(b"\x80\x04" + b"N0" * (1 << 20)),
    ):
        (one,) = found(tmp_path, "model.joblib", data)
        assert (one.verdict, one.names[0][:12]) == ("dangerous", "it unpacks t")


def test_names_that_are_hidden_are_dangerous(tmp_path):
    put_together = b"\x80\x04\x8c\x05posix\x8c\x06system0\x8c\x06system\x93."
    numbers = b"\x80\x04K\x01K\x02\x93."
    borrowed = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94N0h\x00h\x01\x93."
    assert found(tmp_path, "a.pkl", put_together)[0].verdict == "dangerous"
    assert found(tmp_path, "a.pkl", numbers)[0].verdict == "dangerous"
    assert found(tmp_path, "a.pkl", borrowed)[0].names == ("posix.system",)
    second = pickle.dumps([1]) + EVIL[4]
    assert found(tmp_path, "a.pkl", second)[0].names == ("posix.system",)
    cut = EVIL[4][:-1] + b"\xff\xff"
    assert found(tmp_path, "a.pkl", cut)[0].verdict == "dangerous"


def test_code_of_its_own_is_told_apart(tmp_path):
    own = cloudpickle.dumps(lambda rows: rows)
    assert found(tmp_path, "python_model.pkl", own)[0].verdict in ("code", "dangerous")
    assert found(tmp_path, "python_model.pkl", own)[0].names
    assert (judge("mine", "Model"), judge("sklearn.svm._classes", "SVC")) == ("code", "known")
    assert (judge("uuid", "UUID"), judge("uuid", "_load_system_functions")) == ("known", "dangerous")
    assert judge("torch.serialization", "load") == "dangerous"


def test_files_that_are_none(tmp_path):
    for name, data in {
        "conda.yaml": b"channels:\n- conda-forge\ndependencies:\n- python\n",
        "MLmodel": b"flavors:\n  sklearn: {}\n",
        "notes.txt": b"cats\nand dogs\n",
        "model.safetensors": struct.pack("<Q", 2) + b"{}",
        "empty": b"",
        "x.bin": b"\x78\x9c not compressed",
        "dot": b".",
    }.items():
        assert found(tmp_path, name, data) == [], name
    assert scan_folder(tmp_path) == ()


def test_the_policy_decides_by_the_worst(tmp_path):
    known, code, evil = (
        Pickled("a.pkl", "known"),
        Pickled("b.pkl", "code", ("mine.Model",)),
        Pickled("c.pkl", "dangerous", ("posix.system",)),
    )
    check_loadable([], "refuse", "toy/1")
    check_loadable([known, code], "warn", "toy/1")
    check_loadable([known, code, evil], "allow", "toy/1")
    with pytest.raises(Refused, match=r"toy/1: a\.pkl is a pickle, and \[registry\] pickle is 'refuse'"):
        check_loadable([known], "refuse", "toy/1")
    with pytest.raises(Refused, match=r"c\.pkl is dangerous \(posix\.system\)(?s:.*)pickle = \"allow\""):
        check_loadable([known, evil, code], "warn", "toy/1")
