"""Reads every file of a savepoint with DuckDB and compares it with the manifest."""

import json
import pathlib
import sys

import duckdb

folder = pathlib.Path(sys.argv[1])
manifest = json.loads((folder / "savepoint.json").read_text())
files = [file for task in manifest["tasks"] for file in task["files"]]
assert files, "the savepoint has no files"
for file in files:
    relation = duckdb.read_parquet(str(folder / file["path"]))
    rows = relation.count("*").fetchone()[0]
    assert rows == file["rows"], f"{file['path']} has {rows} rows, not {file['rows']}"
    own = [column for column in relation.columns if column not in ("key_group", "state_key", "state_value")]
    assert own and {"key_group", "state_key", "state_value"} <= set(relation.columns), relation.columns
    relation.fetchall()
    print(f"{file['path']}: {rows} rows of {', '.join(own)}")
