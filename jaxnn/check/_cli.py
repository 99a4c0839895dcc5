"""The command `python -m jaxnn.check`."""

import argparse
import os
import sys
import time
from pathlib import Path

from jaxnn.check import _peers
from jaxnn.check._run import run


def main(arguments=None) -> int:
    """Runs the command and returns its exit code.

    That is 1 where the promise is broken, and 2 where it could not be measured or written.
    """
    options = _parser().parse_args(arguments)
    against = [name.strip() for name in options.against.split(",") if name.strip()]
    began = time.perf_counter()
    try:
        files = _files(options.output)
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
    try:
        for file, words in zip(files, (page, report.json()), strict=True):
            file.write_text(words.rstrip() + "\n")
    except OSError as error:
        print(f"check: the report could not be written: {error}", file=sys.stderr)
        return 2
    seconds = time.perf_counter() - began
    print(
        f"{report.checks:,} checks, {report.failures:,} failures, {seconds:.0f} s; "
        f"written to {files[0]} and {files[1]}"
    )
    return int(report.failures > 0)


def _files(output):
    """The two files to write, refused here and not after minutes of measuring."""
    stem = output.removesuffix(".md").removesuffix(".json")
    files = Path(f"{stem}.md"), Path(f"{stem}.json")
    named = Path(stem).name and not stem.endswith("/")
    if not named or not all(_writable(file) for file in files):
        raise ValueError(
            "check: --output must name files that can be written, in a folder that exists, got "
            f"{output!r}. Create the folder, or choose another."
        )
    return files


def _writable(file):
    if file.is_dir() or not file.parent.is_dir():
        return False
    return os.access(file if file.exists() else file.parent, os.W_OK)


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
        "--output", default="accuracy", metavar="PATH", help="where to write PATH.md and PATH.json"
    )
    return parser


def _progress(entries):
    from tqdm import tqdm

    bar = tqdm(entries, file=sys.stderr, unit="function", disable=None)  # none in a log file
    for entry in bar:
        bar.set_description(entry.name)
        yield entry
