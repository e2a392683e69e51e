"""Runs a command and waits for all that it started, also what left it: so all is counted. Linux only."""

import ctypes
import os
import subprocess
import sys

ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
code = subprocess.Popen(sys.argv[1:]).wait()
try:
    while True:
        os.wait()
except ChildProcessError:
    sys.exit(code)
