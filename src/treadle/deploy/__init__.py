"""Deploy: which version should run, which does, and the server that answers with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.deploy.admitting import Environments as Environments
    from treadle.deploy.environments import Environment as Environment
    from treadle.deploy.environments import declared_environments as declared_environments
    from treadle.deploy.lineage import DeploymentLineage as DeploymentLineage
    from treadle.deploy.listening import listen as listen
    from treadle.deploy.loadtest.jobs import LoadTestJobs as LoadTestJobs
    from treadle.deploy.loadtest.service import LoadTests as LoadTests
    from treadle.deploy.loadtest.types import LoadProgress as LoadProgress
    from treadle.deploy.loadtest.types import LoadTest as LoadTest
    from treadle.deploy.loadtest.types import LoadTestJob as LoadTestJob
    from treadle.deploy.loadtest.types import NewLoadTest as NewLoadTest
    from treadle.deploy.local import LocalReplicas as LocalReplicas
    from treadle.deploy.local import serve_replicas as serve_replicas
    from treadle.deploy.options import replica_options as replica_options
    from treadle.deploy.payloads import ServedAnswer as ServedAnswer
    from treadle.deploy.payloads import answer_values as answer_values
    from treadle.deploy.payloads import decode_answer as decode_answer
    from treadle.deploy.payloads import decode_request as decode_request
    from treadle.deploy.payloads import request_columns as request_columns
    from treadle.deploy.service import Deployments as Deployments
    from treadle.deploy.standing import service_levels as service_levels
    from treadle.deploy.supervisor import Supervisor as Supervisor
    from treadle.deploy.supervisor import replica_command as replica_command
    from treadle.deploy.types import ArmCounts as ArmCounts
    from treadle.deploy.types import BurnRate as BurnRate
    from treadle.deploy.types import Counts as Counts
    from treadle.deploy.types import DeploymentPlan as DeploymentPlan
    from treadle.deploy.types import DeploymentStatus as DeploymentStatus
    from treadle.deploy.types import DesiredRevision as DesiredRevision
    from treadle.deploy.types import Guard as Guard
    from treadle.deploy.types import InEnvironment as InEnvironment
    from treadle.deploy.types import Replica as Replica
    from treadle.deploy.types import ReplicaOptions as ReplicaOptions
    from treadle.deploy.types import ReplicaReport as ReplicaReport
    from treadle.deploy.types import ReplicaReports as ReplicaReports
    from treadle.deploy.types import Revision as Revision
    from treadle.deploy.types import Rollout as Rollout
    from treadle.deploy.types import ServiceLevel as ServiceLevel
    from treadle.deploy.types import ServiceLevels as ServiceLevels
    from treadle.deploy.types import Stretch as Stretch
    from treadle.deploy.types import Trial as Trial
    from treadle.deploy.types import TrialReport as TrialReport

__getattr__, __all__ = attach(
    __name__,
    {
        "Environment": "environments",
        "Environments": "admitting",
        "InEnvironment": "types",
        "LoadProgress": "loadtest.types",
        "LoadTest": "loadtest.types",
        "LoadTestJob": "loadtest.types",
        "LoadTestJobs": "loadtest.jobs",
        "LoadTests": "loadtest.service",
        "LocalReplicas": "local",
        "serve_replicas": "local",
        "NewLoadTest": "loadtest.types",
        "ServedAnswer": "payloads",
        "answer_values": "payloads",
        "decode_answer": "payloads",
        "decode_request": "payloads",
        "request_columns": "payloads",
        "BurnRate": "types",
        "ServiceLevel": "types",
        "ServiceLevels": "types",
        "service_levels": "standing",
        "Counts": "types",
        "ArmCounts": "types",
        "DeploymentLineage": "lineage",
        "DeploymentPlan": "types",
        "DeploymentStatus": "types",
        "Deployments": "service",
        "DesiredRevision": "types",
        "Guard": "types",
        "Replica": "types",
        "ReplicaOptions": "types",
        "ReplicaReport": "types",
        "ReplicaReports": "types",
        "Revision": "types",
        "Rollout": "types",
        "Stretch": "types",
        "Supervisor": "supervisor",
        "Trial": "types",
        "TrialReport": "types",
        "declared_environments": "environments",
        "listen": "listening",
        "replica_command": "supervisor",
        "replica_options": "options",
    },
)
