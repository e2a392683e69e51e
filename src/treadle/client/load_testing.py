"""What the client asks of load tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

from treadle.client.calls import Calls
from treadle.client.following import finished
from treadle.deploy import LoadTest, LoadTestJob, NewLoadTest
from treadle.kernel.errors import Unavailable


class LoadTestCalls(Calls):
    """Calls of the routes of load tests."""

    def load_test(
        self, model: str, new: NewLoadTest, follow: Callable[[LoadTestJob], None] | None = None
    ) -> LoadTest:
        """Sends requests to a version, or to what runs, and says whether the objective holds.

        Whoever interrupts it stops the test, also that of a server.

        Args:
            model: The model.
            new: What is asked for.
            follow: Told again and again how far it is, the last time when it has ended.

        Raises:
            Unavailable: If the server is away for longer than a restart takes, or was started again.
            TreadleError: Whatever keeps the test from being made.
        """
        return self._ended(self.start_load_test(model, new), follow)

    def start_load_test(self, model: str, new: NewLoadTest) -> LoadTestJob:
        """Begins a load test; it is stopped if nobody asks for it for 15 seconds."""
        path = f"{of_model(model)}/load-tests"
        job: LoadTestJob = self._ask(LoadTestJob, "POST", path, new, actor=acting())
        return job

    def load_test_job(self, job_id: str) -> LoadTestJob:
        """How far a load test is, and what it came to."""
        job: LoadTestJob = self._ask(LoadTestJob, "GET", f"/v1/load-tests/{quote(job_id, safe='')}")
        return job

    def cancel_load_test(self, job_id: str) -> LoadTestJob:
        """Stops a load test, and waits for that; nothing is judged."""
        path = f"/v1/load-tests/{quote(job_id, safe='')}"
        job: LoadTestJob = self._ask(LoadTestJob, "DELETE", path, actor=acting())
        return job

    def load_tests(self, model: str, version: int | None = None) -> list[LoadTest]:
        """A model's latest load tests, or a version's, newest first."""
        path, asked = f"{of_model(model)}/load-tests", {"version": version} if version else {}
        found: list[LoadTest] = self._ask(list[LoadTest], "GET", path, **asked)
        return found

    def required_load_test(
        self, ref: str, purpose: Literal["approval", "deployment"], environment: str | None = None
    ) -> LoadTestJob | None:
        """Begins the load test that a version has to pass before it is approved or deployed.

        None if none is due. It is stopped if nobody asks for it for 15 seconds.

        Args:
            ref: The version.
            purpose: What it is required for.
            environment: Where it is to be deployed; the last environment if left out.
        """
        asked = {"ref": ref, "purpose": purpose, "actor": acting()}
        asked |= {"environment": environment} if environment else {}
        path = "/v1/required-load-test"
        job: LoadTestJob | None = self._ask(LoadTestJob | None, "POST", path, **asked)
        return job

    def _held(
        self,
        ref: str,
        purpose: Literal["approval", "deployment"],
        follow: Callable[[LoadTestJob], None] | None,
        environment: str | None = None,
    ) -> None:
        """Has a version pass the load test that it is required to, if one is due.

        Raises:
            Refused: If it doesn't, or somebody stopped that.
        """
        job = self.required_load_test(ref, purpose, environment)
        if job is not None:
            self._ended(job, follow).check_held()

    def _ended(self, job: LoadTestJob, follow: Callable[[LoadTestJob], None] | None) -> LoadTest:
        lost = Unavailable(
            "the server was started again, and the load test ended with it",
            where=self.server,
            fix="nothing was judged; test again",
        )
        job = finished(job, self.load_test_job, self.cancel_load_test, lost, follow)
        assert job.result is not None  # noqa: S101 - it has ended without an error
        return job.result


def of_model(model: str) -> str:
    """The path of a model's deployment."""
    from treadle.client.client import part

    return f"/v1/deployments/{part(model)}"


def acting() -> str:
    """Who asks."""
    from treadle.client.client import actor

    return actor()
