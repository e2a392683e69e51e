"""What the client asks of checks."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.client.calls import Calls
from treadle.evaluate.types import (
    CheckPlan,
    CheckRequest,
    CheckResult,
    Evaluation,
    ForeignSuite,
    ReportFormat,
    WrittenChecks,
)


class CheckCalls(Calls):
    """Calls of the routes of checks."""

    def check(self, asked: CheckRequest) -> CheckResult:
        """Checks data and models; what was judged before, of the same by the same, is told again."""
        found: CheckResult = self._ask(CheckResult, "POST", "/v1/checks", asked)
        return found

    def plan_checks(self, asked: CheckRequest) -> CheckPlan:
        """What checks would test, and what the data at hand can tell; judges nothing."""
        found: CheckPlan = self._ask(CheckPlan, "POST", "/v1/checks/plan", asked)
        return found

    def suggest_checks(self, data: str) -> WrittenChecks:
        """Checks that some rows pass, as lines of ``treadle.toml``, for a person to prune."""
        found: WrittenChecks = self._ask(WrittenChecks, "GET", "/v1/checks/suggestion", data=data)
        return found

    def import_checks(self, suite: ForeignSuite) -> WrittenChecks:
        """Checks as Great Expectations or Pandera write them, as lines of ``treadle.toml``."""
        found: WrittenChecks = self._ask(WrittenChecks, "POST", "/v1/checks/import", suite)
        return found

    def evaluations(self, subject: str | None = None, limit: int = 100) -> list[Evaluation]:
        """What gates found, the newest first."""
        found: list[Evaluation] = self._ask(
            list[Evaluation], "GET", "/v1/evaluations", subject=subject, limit=limit
        )
        return found

    def check_report(self, evaluations: Sequence[str], wanted: ReportFormat) -> bytes:
        """What some evaluations found, as one document."""
        from urllib.parse import urlencode

        query = urlencode([*(("evaluation", one) for one in evaluations), ("format", wanted)])
        return self._send("GET", f"/v1/checks/report?{query}").read()
