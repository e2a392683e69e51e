"""The chart renders what Kubernetes takes, fits the replica's own code, and refuses wrong values."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
import urllib3
from charts import CHART, KUBERNETES, Manifest, changed, helm, part, pod_of, rendered, values_of
from replica_parts import FolderPlatform, options, running, write_model

from treadle.deploy.replica.pulse import _NEVER, _NEVER_TIMES
from treadle.deploy.replica.server import _LAST_CALL, _QUIET, DRAIN
from treadle.kernel.config import ServeConfig, load_config

MINIMAL = {"image": {"repository": "ml/treadle"}, "platform": {"url": "http://t.ml:8090"}, "models": ["toy"]}
VARIANTS = {
    "minimal": values_of("minimal"),
    "everything": values_of("everything"),
    "fixed": MINIMAL | {"autoscaling": {"enabled": False}, "replicas": 3},
    "closed": MINIMAL | {"networkPolicy": {"from": []}, "grpc": {"enabled": True}},
    "bare": MINIMAL
    | {name: {"enabled": False} for name in ("networkPolicy", "podDisruptionBudget", "topologySpread")}
    | {"serviceAccount": {"create": False}, "shutdown": {"preStopSeconds": 0}},
}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_kubernetes_takes_it(values: Manifest) -> None:
    kubernetes = part("kubernetes_validate", "kubernetes-validate")
    manifests = rendered(values)
    for kind, manifest in manifests.items():
        if kind != "ServiceMonitor":  # a custom resource, whose schema is the operator's
            kubernetes.validate(manifest, KUBERNETES, strict=True)
    assert manifests["Service"]["spec"]["selector"].items() <= _pod_labels(manifests).items()


def _pod_labels(manifests: dict[str, Manifest]) -> dict[str, str]:
    workload = manifests.get("Deployment") or manifests["StatefulSet"]
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


@pytest.mark.parametrize("values", [{}, *VARIANTS.values()], ids=["defaults", *VARIANTS])
def test_lint_finds_nothing(values: Manifest) -> None:
    report = helm().lint(CHART, values, strict=True)
    assert report["errors"] == []
    assert [found for found in report["messages"] if found["severity"] > 1] == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("image.repository", "", "image.repository is empty: name the image"),
        ("platform.url", "", "platform.url is empty: say where"),
        ("platform.url", "treadle:8090", "/platform/url"),
        ("models", [], "models is empty: name at least one"),
        ("models", ["a", "a"], "/models"),
        ("models", ["a b"], "/models/0"),
        ("environment", "a b", "/environment"),
        ("replica", 2, "replica"),
        ("autoscaling.metric", "gpu", "/autoscaling/metric"),
        ("autoscaling.minReplicas", 9, "raise autoscaling.maxReplicas"),
        ("resources.requests.cpu", None, "resources.requests.cpu is not set"),
        ("runAsUser", 0, "/runAsUser"),
        ("service.port", 70_000, "/service/port"),
        ("grpc.port", 0, "/grpc/port"),
        ("", {"grpc": {"enabled": True, "port": 80}}, "choose another for one of them"),
        ("serve.maxMemory", "1600M", "/serve/maxMemory"),
        ("serve.maxModels", 0, "/serve/maxModels"),
        ("shutdown.gracePeriodSeconds", 19, "make it at least 20"),
        ("extraEnv", [{"name": "TREADLE_URL", "value": "x"}], "/extraEnv/0/name"),
        ("serviceAccount", {"create": False, "annotations": {"a": "b"}}, "serviceAccount.create is false"),
        (
            "",
            {"gpu": {"enabled": True}, "resources": {"limits": {"nvidia.com/gpu": 1}}},
            "use gpu.count",
        ),
    ],
)
def test_wrong_values_are_refused(path: str, value: object, said: str) -> None:
    wrong = changed(MINIMAL, path, value) if path else MINIMAL | dict(value)  # type: ignore[call-overload]
    with pytest.raises(helm().HelmError) as refused:
        rendered(wrong)
    assert said in str(refused.value)


def test_nothing_runs_as_root_or_writes_outside_of_volumes() -> None:
    pod = pod_of(rendered(MINIMAL))
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False


def test_a_volume_for_the_journal_makes_a_stateful_set_that_the_autoscaler_finds() -> None:
    manifests = rendered(MINIMAL | {"state": {"persistent": True}})
    assert "Deployment" not in manifests
    claims = manifests["StatefulSet"]["spec"]["volumeClaimTemplates"]
    mounts = {mount["name"] for mount in pod_of(manifests)["containers"][0]["volumeMounts"]}
    assert [claim["metadata"]["name"] for claim in claims] == ["state"]
    assert mounts == {volume["name"] for volume in pod_of(manifests)["volumes"]} | {"state"}
    assert manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["kind"] == "StatefulSet"
    names = manifests["StatefulSet"]["spec"]["serviceName"]
    assert manifests["Service-replicas"]["metadata"]["name"] == names


def test_a_release_serves_one_environment() -> None:
    args = pod_of(rendered(changed(MINIMAL, "environment", "staging")))["containers"][0]["args"]
    assert args[-2:] == ["--env", "staging"]
    assert "--env" not in pod_of(rendered(MINIMAL))["containers"][0]["args"]


def test_a_gpu_is_asked_for_and_found() -> None:
    pod = pod_of(rendered(values_of("everything")))
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert pod["nodeSelector"] == {"accelerator": "h200", "pool": "inference"}
    assert "nvidia.com/gpu" in [toleration["key"] for toleration in pod["tolerations"]]
    assert "nvidia.com/gpu" not in str(pod_of(rendered(MINIMAL)))


@pytest.mark.parametrize("timeout", [1, 30, 90, 600])
def test_the_probe_leaves_a_stuck_prediction_to_the_replica(timeout: int) -> None:
    probe = pod_of(rendered(changed(MINIMAL, "serve.requestTimeoutSeconds", timeout)))["containers"][0][
        "livenessProbe"
    ]
    by_itself = max(_NEVER_TIMES * timeout, _NEVER)
    assert by_itself < (probe["failureThreshold"] - 1) * probe["periodSeconds"] < by_itself + 60


@pytest.mark.parametrize("seconds", [0, 60, 300])
def test_the_probe_leaves_a_model_its_time_to_load(seconds: int) -> None:
    probe = pod_of(rendered(changed(MINIMAL, "loadSeconds", seconds)))["containers"][0]["livenessProbe"]
    lasts = (probe["failureThreshold"] - 1) * probe["periodSeconds"]
    assert seconds < lasts < max(seconds, _NEVER_TIMES * 30) + 60


def test_the_least_grace_period_covers_the_drain() -> None:
    ship, fleet, guard = DRAIN, 1.0, 0.25
    drain = _LAST_CALL + _QUIET + DRAIN + ship + fleet + guard
    shortest = rendered(MINIMAL | {"shutdown": {"preStopSeconds": 5, "gracePeriodSeconds": 20}})
    assert pod_of(shortest)["terminationGracePeriodSeconds"] > 5 + drain


def test_a_replica_answers_at_the_paths_of_the_chart(tmp_path: Path) -> None:
    manifests = rendered(values_of("everything"))
    container = pod_of(manifests)["containers"][0]
    plain = pod_of(rendered(MINIMAL))["containers"][0]
    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    paths = [plain[probe]["httpGet"]["path"] for probe in probes]
    assert paths[:2] == [container[probe]["httpGet"]["path"] for probe in probes[:2]]
    scraped = manifests["ServiceMonitor"]["spec"]["endpoints"][0]["path"]
    scaled_by = manifests["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["metric"]["name"]
    chosen = options(tmp_path / "state", grpc_port=0)
    with running(chosen, FolderPlatform(write_model(tmp_path / "model"))) as server:
        for path in paths:
            assert urllib3.request("GET", server.url + path, retries=False).status == 200
        assert container["readinessProbe"]["grpc"].keys() == {"port"}  # of no service in particular
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            serving = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
        assert serving == b"\x08\x01"
        figures = urllib3.request("GET", server.url + scraped, retries=False).data.decode()
    assert f"\n{scaled_by} " in figures


def test_grpc_has_a_port_wherever_http_has_one() -> None:
    manifests = rendered(values_of("everything"))
    container = pod_of(manifests)["containers"][0]
    [port] = [one["containerPort"] for one in container["ports"] if one["name"] == "grpc"]
    assert container["readinessProbe"]["grpc"] == {"port": port}
    assert f"\ngrpc_port = {port}\n" in manifests["ConfigMap"]["data"]["treadle.toml"]
    asked = {one["name"]: (one["port"], one["targetPort"]) for one in manifests["Service"]["spec"]["ports"]}
    assert asked == {"http": (8080, "http"), "grpc": (9000, "grpc")}
    headless = manifests["Service-grpc"]["spec"]
    assert (headless["clusterIP"], headless["ports"][0]["port"]) == ("None", port)
    assert "publishNotReadyAddresses" not in headless
    http, rpc = manifests["NetworkPolicy"]["spec"]["ingress"]
    assert [one["port"] for one in rpc["ports"]] == ["grpc"]
    assert len(rpc["from"]) == 1  # who scrapes has nothing to ask there
    assert len(http["from"]) == 2
    labels = manifests["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert not labels.items() <= manifests["Service-grpc"]["metadata"]["labels"].items()
    assert "grpc" not in str(rendered(MINIMAL))


def test_the_settings_are_those_of_a_replica(tmp_path: Path) -> None:
    (tmp_path / "treadle.toml").write_text(rendered(MINIMAL)["ConfigMap"]["data"]["treadle.toml"])
    read = load_config(tmp_path).serve
    assert read == ServeConfig(host="0.0.0.0", max_memory="1600MiB")
    (tmp_path / "treadle.toml").write_text(
        rendered(values_of("everything"))["ConfigMap"]["data"]["treadle.toml"]
    )
    several = load_config(tmp_path).serve
    assert (several.max_models, several.pinned, several.max_memory) == (20, ("returns",), None)
    assert (read.grpc_port, several.grpc_port) == (None, 8101)
    assert read.port == pod_of(rendered(MINIMAL))["containers"][0]["ports"][0]["containerPort"]


def test_the_container_runs_is_alive_without_a_platform_and_ends_in_time(tmp_path: Path) -> None:
    manifests = rendered(MINIMAL)
    pod = pod_of(manifests)
    container = pod["containers"][0]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = manifests["ConfigMap"]["data"]["treadle.toml"].replace("port = 8100", f"port = {port}")
    (tmp_path / "treadle.toml").write_text(text.replace("0.0.0.0", "127.0.0.1"))
    arguments = [word.replace("$(POD_NAME)", "returns-0") for word in container["args"]]
    command = [sys.executable, "-m", "treadle.cli.main", *arguments]
    environment = os.environ | {"TREADLE_URL": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
        live, ready = (
            f"http://127.0.0.1:{port}{container[probe]['httpGet']['path']}"
            for probe in ("startupProbe", "readinessProbe")
        )
        deadline = time.monotonic() + 60
        while _status(live) != 200:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert _status(ready) == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(pod["terminationGracePeriodSeconds"]) == 0
    assert (tmp_path / ".treadle" / "replicas" / "returns-0").is_dir()


def _status(url: str) -> int | None:
    try:
        return urllib3.request("GET", url, retries=False, timeout=5).status
    except urllib3.exceptions.HTTPError:
        return None
