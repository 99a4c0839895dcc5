"""Interleaved timing: every contender runs once per round, so that all meet the same machine."""

import time

import jax
import numpy as np


def medians(contenders, rounds=15):
    """Median seconds of each `name -> thunk`, compiled and warmed up before."""
    for run in contenders.values():
        jax.block_until_ready(run())
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            began = time.perf_counter()
            jax.block_until_ready(run())
            seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(times)) for name, times in seconds.items()}


def compile_seconds(f, *arguments):
    """`(compiled f, seconds)` of tracing and compiling."""
    began = time.perf_counter()
    compiled = jax.jit(f).lower(*arguments).compile()
    return compiled, time.perf_counter() - began


def table(title, rows, columns):
    """Prints rows of `(name, *cells)` as a Markdown table."""
    print(f"\n{title}: jax {jax.__version__} on {jax.devices()[0].device_kind}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
