def test_opens(workspace):
    assert workspace.replayed_time() is None
    d = workspace.blobs.put(b"x")
    assert workspace.blobs.get(d) == b"x"
    workspace.engine.write_parquet(workspace.state / "a.parquet", "select range i from range(10)")
    assert workspace.engine.rows("select sum(i) from t", tables={"t": workspace.state / "a.parquet"}) == [
        (45,)
    ]
