"""What the client asks about many runs: how they differ, what matters, and anything in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

import msgspec

from treadle.client.answers import MOST_ROWS, SqlAnswer
from treadle.client.calls import Calls
from treadle.experiment import CodeDiff, Comparison, Importance, SharedCurves, SqlQuery, SqlTable
from treadle.kernel.files import replacing


class AskCalls(Calls):
    """Calls of the routes that compare runs and ask in SQL."""

    def compare(self, run_ids: list[str]) -> Comparison:
        """Runs side by side."""
        found: Comparison = self._ask(Comparison, "GET", "/v1/comparison", run=run_ids)
        return found

    def compare_curves(
        self, run_ids: list[str], metric: str, *, by: Literal["step", "time"] = "step", points: int = 500
    ) -> SharedCurves:
        """A metric's curves of several runs over one axis, thinned to about so many points each."""
        found: SharedCurves = self._ask(
            SharedCurves, "GET", "/v1/comparison/curves", run=run_ids, metric=metric, by=by, points=points
        )
        return found

    def compare_code(self, first: str, second: str) -> CodeDiff:
        """How the code of two runs differs."""
        found: CodeDiff = self._ask(CodeDiff, "GET", "/v1/comparison/code", run=first, other=second)
        return found

    def comparison_page(
        self,
        run_ids: list[str],
        *,
        metric: str | None = None,
        experiment: str | None = None,
        where: str | None = None,
    ) -> bytes:
        """Runs side by side, or all that fit a filter, as a self-contained HTML page."""
        given = {"metric": metric, "experiment": experiment, "where": where}
        query = [("run", run) for run in run_ids] + [(k, v) for k, v in given.items() if v is not None]
        return self._send("GET", f"/v1/comparison/page?{urlencode(query)}").read()

    def importance(
        self,
        metric: str,
        *,
        experiment: str | None = None,
        where: str | None = None,
        params: list[str] | None = None,
    ) -> Importance:
        """Which parameters a metric depends on, over the runs that fit."""
        found: Importance = self._ask(
            Importance,
            "GET",
            "/v1/importance",
            metric=metric,
            experiment=experiment,
            where=where,
            param=params,
        )
        return found

    # ── sql ──────────────────────────────────────────────────────────────

    def sql(self, query: str, limit: int = MOST_ROWS) -> SqlAnswer:
        """The answer to one SELECT over runs, read as it comes; ``sql_tables`` says what there is."""
        asked = msgspec.json.encode(SqlQuery(query, limit))
        return SqlAnswer(self._send("POST", "/v1/sql", asked).body, self.server)

    def sql_tables(self) -> list[SqlTable]:
        """The tables that ``sql`` may ask, with their columns."""
        found: list[SqlTable] = self._ask(list[SqlTable], "GET", "/v1/sql/tables")
        return found

    def sql_parquet(self, query: str, path: Path, limit: int = MOST_ROWS) -> None:
        """Writes the answer to one SELECT over runs to a Parquet file, atomically."""
        asked = msgspec.json.encode(SqlQuery(query, limit, "parquet"))
        with replacing(path) as temporary, temporary.open("wb") as file:
            for piece in self._send("POST", "/v1/sql", asked).body:
                file.write(piece)
