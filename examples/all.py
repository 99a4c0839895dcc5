"""Runs the recipes and the examples, and writes the README's table of results.

python examples/all.py            all of them in full
python examples/all.py lstm gan   these alone; the table keeps the rows of the others
python examples/all.py --quick    all, a few epochs each, to see that they run; no table
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import _table

HERE = Path(__file__).parent


def main() -> int:
    """Runs them; returns how many failed."""
    scripts = [*HERE.glob("recipes/*.py"), *HERE.glob("[!_]*.py")]
    scripts = {path.stem: path for path in sorted(scripts) if path.stem != "all"}
    parser = argparse.ArgumentParser(description="Run the recipes and the examples.")
    parser.add_argument("names", nargs="*", help="such as lstm; none means all")
    parser.add_argument("--quick", action="store_true", help="a few epochs each; no table")
    options = parser.parse_args()
    if unknown := set(options.names) - set(scripts):
        parser.error(f"no example is called {', '.join(unknown)}; there are {', '.join(scripts)}")
    chosen = options.names or list(scripts)

    with tempfile.TemporaryDirectory() as folder:
        # Quick ones run side by side; those in full have the machine to themselves.
        with ThreadPoolExecutor(os.cpu_count() if options.quick else 1) as pool:
            went = pool.map(lambda name: run(scripts[name], options.quick, folder), chosen)
            failed = [name for name, fine in zip(chosen, went, strict=True) if not fine]
        if not options.quick:
            _table.update([Path(folder, name) for name in chosen if name not in failed])
    print(f"\nfailed: {', '.join(failed) or 'none'}")
    return len(failed)


def run(path, quick, folder):
    """Runs a script in a process of its own; returns whether it went well."""
    began, arguments = time.perf_counter(), [sys.executable, str(path)]
    if quick and path.parent == HERE:
        arguments += ["--quick", "--pictures", folder]
    environment = os.environ | {"JAXNN_RESULTS": str(Path(folder, path.stem))}
    pipe = subprocess.PIPE if quick else None  # or their lines would mix
    done = subprocess.run(arguments, env=environment, stdout=pipe, stderr=pipe, text=True)
    print(f"{done.stdout or ''}{done.stderr or ''}", end="")
    print(f"--- {path.relative_to(HERE)}: {time.perf_counter() - began:.1f} s\n", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
