"""Live curves: in a terminal, and in a real kernel where there is one."""

from __future__ import annotations

import importlib.util
import re
import sys
import threading

import pytest

from treadle.sdk import live, summary


def curve(*values: float) -> summary.Curve:
    made = summary.Curve()
    for value in values:
        made.add(value)
    return made


def test_pictures_follow_the_notebook_and_escape_names() -> None:
    text = live.page("<run>", "running", {"<loss>": curve(3, 2, float("nan"), 1), "one": curve(5)})
    assert "<run>" not in text
    assert "&lt;loss&gt;" in text
    assert text.count("<polyline") == 1
    assert "currentColor" in text


def test_it_draws_what_is_new_and_a_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, int]] = []
    new = threading.Event()
    curves = {"loss": curve(1)}
    status = ["running"]

    def show(_: str, said: str, seen: dict[str, summary.Curve]) -> None:
        shown.append((said, seen["loss"].count))
        new.set()

    monkeypatch.setattr(live, "_line", show)
    watching = live.Live("run", lambda: status[0], curves, every=0.01)
    assert shown == [("running", 1)]
    new.clear()
    curves["loss"].add(2)
    assert new.wait(10)
    status[0] = "finished"
    watching.close()
    watching._thread.join(10)
    assert not watching._thread.is_alive()
    assert shown == [("running", 1), ("running", 2), ("finished", 2)]


def test_a_display_that_fails_disturbs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no display")

    monkeypatch.setattr(live, "_line", broken)
    live.Live("run", lambda: "running", {"loss": curve(1)}).close()


def test_a_terminal_has_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    live._line("run", "running", {"loss": curve(3, 2, 1)})
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    live._line("run", "finished", {"loss": curve(3, 2, 1)})
    assert re.fullmatch(r"\r\x1b\[2Krun finished  loss 1 █▅▁\n", capsys.readouterr().err)


@pytest.mark.skipif(
    not (importlib.util.find_spec("ipykernel") and importlib.util.find_spec("jupyter_client")),
    reason="ipykernel and jupyter_client are not installed",
)
def test_a_cell_is_updated_while_it_runs(inside: object) -> None:
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    messages: list[dict] = []
    try:
        client.execute_interactive(
            "import treadle, time\n"
            "run = treadle.start_run('cell')\n"
            "run.live()\n"
            "for n in range(30):\n"
            "    run.log(loss=1 / (n + 1)); time.sleep(0.1)\n"
            "run.finish()\n",
            output_hook=messages.append,
            timeout=60,
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    kinds = [message["msg_type"] for message in messages]
    updates = [m["content"]["data"]["text/html"] for m in messages if m["msg_type"] == "update_display_data"]
    assert kinds.count("display_data") == 1
    assert 3 <= len(updates) <= 7
    assert "polyline" in updates[-1]
    assert "finished" in updates[-1]
