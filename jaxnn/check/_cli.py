"""The command `python -m jaxnn.check`."""

import argparse
import sys
import time
from pathlib import Path

from jaxnn.check import _peers
from jaxnn.check._run import run


def main(arguments=None) -> int:
    """Runs the command and returns its exit code: 1 where the promise is broken."""
    options = _parser().parse_args(arguments)
    against = [name for name in options.against.split(",") if name]
    began = time.perf_counter()
    try:
        report = run(
            *options.names,
            against=against,
            points=options.points,
            seed=options.seed,
            quick=options.quick,
            progress=_progress,
        )
    except (ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    page = report.markdown()
    print(page)
    for suffix, words in ((".md", page), (".json", report.json())):
        Path(options.output + suffix).write_text(words.rstrip() + "\n")
    seconds = time.perf_counter() - began
    print(
        f"{report.checks:,} checks, {report.failures:,} failures, {seconds:.0f} s; "
        f"written to {options.output}.md and {options.output}.json"
    )
    return int(report.failures > 0)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m jaxnn.check",
        description="Measure every function against high-precision truth, on this machine.",
    )
    parser.add_argument("names", nargs="*", help="modules or functions; by default all")
    known = ",".join(_peers.LIBRARIES)
    parser.add_argument("--against", default="", metavar="PEERS", help=f"some of {known}")
    parser.add_argument("--points", type=int, default=2048, help="per elementwise function")
    parser.add_argument("--seed", type=int, default=0, help="of the random points")
    parser.add_argument("--quick", action="store_true", help="float32 only, and fewer points")
    parser.add_argument(
        "--output", default="accuracy", metavar="PATH", help="where to write, less .md and .json"
    )
    return parser


def _progress(entries):
    from tqdm import tqdm

    bar = tqdm(entries, file=sys.stderr, unit="function", disable=None)  # none in a log file
    for entry in bar:
        bar.set_description(entry.name)
        yield entry
