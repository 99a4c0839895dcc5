"""Prints the newest Python on this machine that is newer than the one that runs this."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROBE = "import ensurepip, sys; print(*sys.version_info[:2])"


def version(python):
    """Major and minor version of an interpreter that can make environments, else None."""
    done = subprocess.run([python, "-c", PROBE], capture_output=True, text=True)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None


pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
names = [f"python3.{minor}" for minor in range(12, 16)]
candidates = [path for name in names if (path := shutil.which(name))]
candidates += [str(path) for path in pyenv.glob("*/bin/python3")]
found = {version(python): python for python in candidates}
found.pop(None, None)
newest = max(found, default=(0, 0))
if newest > sys.version_info[:2]:
    print(found[newest])
