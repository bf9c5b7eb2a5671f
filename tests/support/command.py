"""The command line in a process of its own."""

import os
import subprocess
import sys


def dtl(*arguments, env=None):
    command = [sys.executable, "-m", "dtl_core", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | (env or {}))
