"""What has to be grouped or joined: keys, repeats, frequent values and held-out rows among others.

Usage: ``groupings.py make FOLDER ROWS``, then ``groupings.py CASE ENGINE FOLDER``. The rows have a key, a
text of some 25 characters that is different in each, and a number that stands in two of them; there are a
fifth as many held-out rows, and a quarter of them is among the others.
"""

from __future__ import annotations

import sys
from pathlib import Path

CASES = ("key", "repeats", "top", "shared number", "shared text")


def make(folder: Path, rows: int) -> None:
    """Writes the rows and the held-out ones."""
    import duckdb

    database = duckdb.connect(config={"memory_limit": "4GB", "temp_directory": str(folder / "made")})
    text = "'user-' || hash(i)::VARCHAR AS name"
    spans = {"rows": (0, rows, f"i AS id, {text}, i // 2 AS pair")}
    spans["held"] = (rows - rows // 20, rows - rows // 20 + rows // 5, f"i AS id, {text}")
    for name, (first, end, columns) in spans.items():
        found = database.sql(f"SELECT {columns} FROM range({first}, {end}) r(i)")
        found.write_parquet(str(folder / f"{name}.parquet"), row_group_size=200_000)


def find(case: str, engine: str, folder: Path) -> int:
    """What one engine finds in one case."""
    from treadle.kernel.engine import DuckDBEngine
    from treadle.kernel.scan.asks import FindRepeats, FindTop
    from treadle.kernel.scan.duckdb_scan import DuckDBScan

    if engine == "polars":
        from treadle.kernel.scan.polars_scan import PolarsScan

        scan = PolarsScan()
    else:
        scan = DuckDBScan(DuckDBEngine(folder / "spill"))
    rows, held = folder / "rows.parquet", folder / "held.parquet"
    if case.startswith("shared"):
        return scan.shared(held, rows, ["id" if case == "shared number" else "name"]).rows
    if case == "top":
        return scan.scan(rows, [FindTop("name", 10)])[FindTop("name", 10)].other
    key = FindRepeats(("id" if case == "key" else "pair",))
    return scan.scan(rows, [key])[key].keys


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        print(find(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
