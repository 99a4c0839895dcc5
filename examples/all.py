"""Runs every example and recipe, one after another, and says which failed.

python examples/all.py            every example in full
python examples/all.py --quick    a few epochs each, to see that they run
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Runs them; returns how many failed."""
    parser = argparse.ArgumentParser(description="Run every example.")
    parser.add_argument("--quick", action="store_true", help="a few epochs each")
    options = parser.parse_args()
    examples = [p for p in sorted(HERE.glob("*.py")) if p.stem != "all" and p.stem[0] != "_"]
    failed = []
    for path in [*sorted(HERE.glob("recipes/*.py")), *examples]:
        quick = ["--quick"] if options.quick and path in examples else []
        print(f"\n--- {path.relative_to(HERE)}", flush=True)
        began = time.perf_counter()
        if subprocess.run([sys.executable, str(path), *quick]).returncode:
            failed.append(path.name)
        print(f"({time.perf_counter() - began:.1f} s)", flush=True)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nevery example ran")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
