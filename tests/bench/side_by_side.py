"""Runs the sides of a comparison in alternation, each in a process of its own, and prints ratios.

A side is `SCRIPT --side NAME`; it prints one JSON object on its last line. A run during which other
processes took a good part of the machine is marked and left out of the medians where clean ones exist.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

#: Part of the machine that others may take before a run counts as disturbed.
QUIET = 0.08


class Phase:
    """Wall and processor seconds since it was made; on a busy machine the latter are the truer."""

    def __init__(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def figures(self) -> dict[str, float]:
        """What a side reports of its phase."""
        return {
            "phase": time.perf_counter() - self.began[0],
            "phase_cpu": time.process_time() - self.began[1],
        }


def peak_mb() -> int:
    """Most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def report(**figures: Any) -> None:
    """What a side says at its end."""
    print(json.dumps({**figures, "peak_mb": peak_mb()}))


def _jiffies() -> int:
    with open("/proc/stat", encoding="ascii") as lines:
        numbers = [int(n) for n in lines.readline().split()[1:]]
    return sum(numbers) - numbers[3] - numbers[4]  # all but idle and iowait


def _run(script: str, side: str, python: str, arguments: list[str]) -> dict[str, Any] | None:
    mine = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy, began = _jiffies(), time.perf_counter()
    done = subprocess.run(
        [python, script, "--side", side, *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    whole = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = used.ru_utime + used.ru_stime - mine.ru_utime - mine.ru_stime
    others = (_jiffies() - busy) / os.sysconf("SC_CLK_TCK") - own
    if done.returncode:
        return None
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    share = others / whole / (os.cpu_count() or 1)
    return {**figures, "whole": whole, "whole_cpu": own, "others": share, "clean": share < QUIET}


def compare(
    script: str, sides: Mapping[str, Callable[[Path], None]], check: Callable[[Any, Any], str]
) -> None:
    """Parse the command line; be a side, or run all of them and print the table.

    Args:
        sides: by name; the first one is ours. A name in capitals runs under `--peer-python`.
        check: says in words whether another side's `output` equals ours.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/waterbed-bench"))
    parser.add_argument("--peer-python", default=os.environ.get("PEER_PYTHON"))
    options = parser.parse_args()
    if options.side:
        sides[options.side](options.folder)
        return
    names = [n for n in sides if not n.isupper() or options.peer_python]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            python = options.peer_python if name.isupper() else sys.executable
            found = _run(script, name, python, ["--folder", str(options.folder)])
            if found:
                runs[name].append(found)
                print(name, {k: v for k, v in found.items() if k != "output"}, file=sys.stderr)
    _print(runs, next(iter(sides)), check)


def _print(
    runs: Mapping[str, list[dict[str, Any]]], ours: str, check: Callable[[Any, Any], str]
) -> None:
    medians: dict[str, dict[str, float]] = {}
    for name, found in runs.items():
        kept = [r for r in found if r["clean"]] or found
        if kept:
            keys = ("phase", "phase_cpu", "whole", "whole_cpu", "peak_mb")
            medians[name] = {k: statistics.median(r[k] for r in kept) for k in keys}
            medians[name]["clean"] = sum(r["clean"] for r in found)
    print("Seconds are wall (processor); ratios are ours / its.")
    print("| side | phase s | whole s | peak MB | clean runs | phase | whole | answers |")
    print("|---|---|---|---|---|---|---|---|")
    mine = medians[ours]
    for name, row in medians.items():
        ratios = {
            k: f"{mine[k] / row[k]:.2f} ({mine[f'{k}_cpu'] / row[f'{k}_cpu']:.2f})"
            for k in ("phase", "whole")
        }
        same = check(runs[ours][0]["output"], runs[name][0]["output"])
        items = runs[name][0].get("items")
        rate = f", {items / row['phase']:.0f} items/s" if items else ""
        print(
            f"| {name} | {row['phase']:.2f} ({row['phase_cpu']:.2f}){rate} | {row['whole']:.1f} "
            f"({row['whole_cpu']:.1f}) | {row['peak_mb']:.0f} | {row['clean']:.0f} of "
            f"{len(runs[name])} | {ratios['phase']} | {ratios['whole']} | {same} |"
        )
