"""What lies in a bucket, by path: read by ranges through the server, never copied, never another object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import from_url

from servers import S3
from treadle.client import Client
from treadle.data import ImportBucket
from treadle.kernel.errors import CorruptData


def test_a_table_is_read_where_it_lies(s3_lake: S3, afar: Any, other: Client, tmp_path: Path) -> None:
    lake = from_url(f"s3://{s3_lake.bucket}/lake")
    frame = pd.DataFrame({name: np.random.default_rng(0).random(100_000) for name in "abcdef"})
    pq.write_table(pa.table(frame), tmp_path / "big.parquet", compression="none")
    obstore.put(lake, "flights/big.parquet", tmp_path / "big.parquet")
    obstore.put(lake, "flights/small.csv", b"n\n1\n")
    other.import_bucket(ImportBucket(dataset="flights", url=f"s3://{s3_lake.bucket}/lake/flights"))

    assert sorted(afar.find("flights@v1")) == ["flights@v1/big.parquet", "flights@v1/small.csv"]
    read = pd.read_parquet("treadle://flights@v1/big.parquet", columns=["d"], filesystem=afar)
    assert read["d"].equals(frame["d"])
    assert 800_000 < afar.counted.bytes < 2_500_000  # of 4.8 MB
    assert afar.cat("flights@v1/small.csv") == b"n\n1\n"
    obstore.put(lake, "flights/small.csv", b"n\n2\n")
    afar.invalidate_cache()
    assert afar.cat("flights@v1/small.csv") == b"n\n1\n"  # as it was read before
    with pytest.raises(CorruptData, match=r"flights@v1/small.csv \(s3://.*was changed"):
        other.read_data("flights", "v1", "small.csv")
    obstore.delete(lake, "flights/big.parquet")
    with pytest.raises(FileNotFoundError, match="the object is gone"):
        afar.get_file("flights@v1/big.parquet", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
