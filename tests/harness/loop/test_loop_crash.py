"""A loop that is killed, or whose disk is full, goes on and ends in the same accepted checkpoint."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

HARMLESS, RUINOUS = 0.001, 0.9


def command(recipe: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "waterbed", "loop", str(recipe), "--out", str(out), *more]


def size(folder: Path) -> int:
    """Bytes below a folder that another process is writing to."""
    found = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                found += (Path(place) / name).stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # renamed meanwhile
    return found


def killed_at(line: list[str], environment: Mapping[str, str], out: Path, bytes_: int) -> bool:
    """SIGKILL as soon as the folder is that large; False where the loop ended before."""
    process = subprocess.Popen(
        line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        if size(out) >= bytes_:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.002)
    return False


def finished(out: Path) -> dict[str, int]:
    """The finished checkpoints, each with the inode of its weights."""
    return {
        path.parent.name: path.stat().st_ino
        for path in out.glob("checkpoints/*/model.safetensors")
        if path.parent.suffix != ".partial"
    }


def answers(out: Path) -> dict[str, int]:
    """How many answers each Run holds."""
    runs = out.glob("runs/*/answers.jsonl")
    return {run.parent.name: run.read_bytes().count(b"\n") for run in runs}


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.study)])
def test_a_loop_that_is_killed_again_and_again_accepts_the_same_checkpoint(
    kills: int, recipe, noisy, tmp_path: Path
) -> None:
    file = recipe(
        [
            noisy("one", HARMLESS),
            noisy("two", RUINOUS, on_red="retry", retry=[{"lr": HARMLESS}]),
            noisy("three", RUINOUS, on_red="rollback"),
        ]
    )
    environment = {**os.environ, "WATERBED_CACHE": str(tmp_path / "cache")}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done = subprocess.run(command(file, whole), env=environment, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    wanted = json.loads((whole / "accepted.json").read_text())
    assert wanted["attempt"] == "two.2"

    full, made = size(whole), {}
    instants = sorted(random.Random(kills).uniform(0.01, 0.99) * full for _ in range(kills))
    for instant in instants:
        more = ("--resume",) if (cut / "loop.jsonl").exists() else ()
        assert killed_at(command(file, cut, *more), environment, cut, int(instant))
        now = finished(cut)
        assert {name: now[name] for name in made} == made, "a finished checkpoint was made again"
        made = now
    last = subprocess.run(command(file, cut, "--resume"), env=environment, check=False)
    assert last.returncode == 1
    found = json.loads((cut / "accepted.json").read_text())
    assert (found["attempt"], found["digest"]) == (wanted["attempt"], wanted["digest"])
    assert answers(cut) == answers(whole), "an answer was lost or asked twice"
    kinds = [json.loads(line)["kind"] for line in (cut / "loop.jsonl").read_text().splitlines()]
    assert sorted(kinds) == sorted(
        json.loads(line)["kind"] for line in (whole / "loop.jsonl").read_text().splitlines()
    )


@pytest.mark.parametrize("kilobytes", [16, 700])
def test_a_full_disk_stops_in_one_sentence_and_room_lets_it_go_on(
    kilobytes: int, recipe, noisy, tmp_path: Path
) -> None:
    """A limit on file sizes makes writes fail as a full disk would: of answers, of weights."""
    file, out = recipe([noisy("one", HARMLESS)]), tmp_path / "out"
    limited = ["bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "--", *command(file, out)]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert "resume" in done.stderr
    again = subprocess.run(command(file, out, "--resume"), capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert json.loads((out / "accepted.json").read_text())["attempt"] == "one.1"
