"""Runs every example and recipe, one after another, and says which failed.

python examples/all.py            every example in full, and the README's table of results
python examples/all.py --quick    a few epochs each, to see that they run
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
TABLE = re.compile(r"(<!-- results: examples/all.py writes this -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Runs them; returns how many failed."""
    parser = argparse.ArgumentParser(description="Run every example.")
    parser.add_argument("--quick", action="store_true", help="a few epochs each")
    options = parser.parse_args()
    examples = [p for p in sorted(HERE.glob("*.py")) if p.stem != "all" and p.stem[0] != "_"]
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        environment = os.environ | {"JAXNN_RESULTS": str(results)}
        for path in [*sorted(HERE.glob("recipes/*.py")), *examples]:
            quick = ["--quick"] if options.quick and path in examples else []
            print(f"\n--- {path.relative_to(HERE)}", flush=True)
            began = time.perf_counter()
            if subprocess.run([sys.executable, str(path), *quick], env=environment).returncode:
                failed.append(path.name)
            print(f"({time.perf_counter() - began:.1f} s)", flush=True)
        if not options.quick and not failed:
            rows = [json.loads(line) for line in results.read_text().splitlines()]
            README.write_text(TABLE.sub(rf"\1{table(rows)}\2", README.read_text()))
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nevery example ran")
    return len(failed)


def table(rows) -> str:
    """The results as Markdown, one line each, ours beside the peers'."""
    lines = ["| example | result | jaxnn | beside it |", "|---|---|---|---|"]
    for row in rows:
        peers = ", ".join(f"{name} {value:.4g}" for name, value in row["peers"].items())
        example = f"[{row['example']}](examples/{row['example']})"
        lines.append(f"| {example} | {row['what']} | {row['ours']:.4g} | {peers} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
