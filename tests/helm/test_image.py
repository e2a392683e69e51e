"""The Dockerfile, built only where Docker or buildah is, fits what it copies and the chart that runs it."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml
from charts import CHART, pod_of, rendered, values_of

ROOT = CHART.parents[2]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()


def _copied() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.mark.parametrize("source", _copied())
def test_what_is_copied_is_in_the_context(source: str) -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert (ROOT / source).exists()
    assert source in kept | {f"requirements/{path.name}" for path in ROOT.glob("requirements/*.lock")}


def test_it_runs_as_the_user_of_the_chart() -> None:
    user = yaml.safe_load((CHART / "values.yaml").read_text())["runAsUser"]
    assert f"\nUSER {user}:{user}\n" in DOCKERFILE
    assert DOCKERFILE.rindex("USER") > DOCKERFILE.rindex("RUN"), "nothing is done as root behind it"


def test_the_ports_of_the_chart_are_exposed() -> None:
    container = pod_of(rendered(values_of("everything")))["containers"][0]
    exposed = re.search(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    assert exposed is not None
    assert {str(port["containerPort"]) for port in container["ports"]} <= set(exposed[1].split())


def versions(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def test_every_package_is_pinned_by_its_digest() -> None:
    lock = (ROOT / "requirements" / "image.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["platform"], *extras["grpc"]]
    pinned = versions("image")
    assert {re.match(r"[a-z0-9-]+", one).group() for one in asked} <= pinned.keys()  # type: ignore[union-attr]
    tested = versions("dev")
    assert pinned == {name: tested[name] for name in pinned}
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert DOCKERFILE.count("--require-hashes") == 2
