"""Puts files into a bucket, or gets them, with obstore alone: ``raw_s3.py OPTIONS put|get PREFIX FOLDER``.

In requests of as many bytes as Treadle's, as many at once as Treadle's; nothing is hashed, synced or
compared. What is got is written to files. Prints seconds and bytes.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
from obstore.store import S3Store

PIECE, AT_ONCE = 16 << 20, 5

options, what, prefix, folder = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
client = {key: options.pop(key) for key in [*options] if key.startswith("allow_")}
store = S3Store("bench", client_options={"timeout": "180s", **client}, **options)


def put(job: tuple[str, int, int]) -> int:
    name, start, size = job
    descriptor = os.open(folder / name, os.O_RDONLY)
    data = os.pread(descriptor, size, start)
    os.close(descriptor)
    obstore.put(store, f"{prefix}/{name}/{start}", data, use_multipart=False)
    return len(data)


def get(job: tuple[str, int, int]) -> int:
    name, start, size = job
    data = obstore.get(store, f"{prefix}/{name}/{start}").bytes()
    descriptor = os.open(folder / name.replace("/", "-"), os.O_WRONLY | os.O_CREAT)
    os.pwrite(descriptor, data, start)
    os.close(descriptor)
    return size


if what == "put":
    sizes = {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    jobs = [(name, at, min(PIECE, size - at)) for name, size in sizes.items() for at in range(0, size, PIECE)]
else:
    jobs = []
    for found in obstore.list(store, prefix=prefix):
        for one in found:
            name, _, start = one["path"].removeprefix(f"{prefix}/").rpartition("/")
            jobs.append((name, int(start), one["size"]))
began = time.monotonic()
with ThreadPoolExecutor(AT_ONCE) as pool:
    moved = sum(pool.map(put if what == "put" else get, jobs))
print(json.dumps({"seconds": time.monotonic() - began, "bytes": moved}))
