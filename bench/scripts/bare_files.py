"""Makes as many files as a folder has, of the same sizes, by the fewest system calls; prints the seconds."""

import os
import sys
import time
from pathlib import Path

source, target = sys.argv[1:]
whole = Path(source)
found = [path for path in whole.rglob("*") if path.is_file()] or [whole]
files = [(path.relative_to(whole.parent), path.stat().st_size) for path in found]
data = os.urandom(1 << 24)
began = time.monotonic()
for folder in sorted({path.parent for path, _ in files}):
    (Path(target) / folder).mkdir(parents=True)
for path, size in files:
    place = os.open(f"{target}/{path}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    for begin in range(0, size, len(data)):
        os.write(place, data[: size - begin])
    os.fstat(place)
    os.close(place)
print(time.monotonic() - began)
