"""kill -9 at any instant loses at most the batch in flight; the same command finishes the Run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.journal import Journal
from waterbed.harness.run import Run

LIMIT = 50
TASKS = ("pocket/math", "pocket/tools", "pocket/knowledge")


def command(checkpoint: Path, out: Path, samples: int = 1) -> list[str]:
    arguments = ["eval", str(checkpoint), "--suites", ",".join(TASKS), "--limit", str(LIMIT)]
    arguments += ["--samples", str(samples)]
    engine = ["--batch-size", "16", "--threads", "1", "--no-cache"]
    return [sys.executable, "-m", "waterbed", *arguments, *engine, "--out", str(out)]


def kill_when_it_has(process: subprocess.Popen[bytes], journal: Path, size: int) -> bool:
    """SIGKILL as soon as the journal is that long; False where the Run was finished before."""
    while process.poll() is None:
        if journal.exists() and journal.stat().st_size >= size:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.002)
    return False


def lines(journal: Path) -> int:
    opened = Journal(journal)
    opened.close()
    return len(opened)


@pytest.mark.parametrize(
    ("kills", "samples"), [(2, 1), (1, 3), pytest.param(10, 1, marks=pytest.mark.study)]
)
def test_a_run_that_was_killed_again_and_again_ends_in_the_same_bytes(
    kills: int, samples: int, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    subprocess.run(command(pocket_base.path, whole, samples), check=True, capture_output=True)
    full = (whole / "answers.jsonl").stat().st_size

    cut = tmp_path / "cut"
    journal = cut / "answers.jsonl"
    instants = sorted(random.Random(kills).uniform(0, 0.95) * full for _ in range(kills))
    killed, kept = 0, 0
    for instant in instants:
        process = subprocess.Popen(
            command(pocket_base.path, cut, samples),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        killed += kill_when_it_has(process, journal, int(instant))
        now = lines(journal) if journal.exists() else 0
        assert now >= kept, "an answer that was kept is gone"
        kept = now
    assert killed == kills
    assert Run.open(cut).status == "partial"

    subprocess.run(command(pocket_base.path, cut, samples), check=True, capture_output=True)
    assert Run.open(cut).status == "complete"
    for name in ("scores.parquet", "results.json"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    assert lines(journal) == lines(whole / "answers.jsonl") == LIMIT * len(TASKS) * samples


def test_ctrl_c_exits_130_and_the_run_can_be_resumed(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(pocket_base.path, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not (out / "answers.jsonl").exists() or not (out / "answers.jsonl").stat().st_size:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resumes" in said
    assert "Traceback" not in said
    assert Run.open(out).status == "partial"


def test_a_full_disk_stops_with_one_sentence_and_loses_nothing(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    """RLIMIT_FSIZE makes every write beyond 8 kB fail, as a full disk would."""
    out = tmp_path / "run"
    limited = ["bash", "-c", 'ulimit -f 8; exec "$@"', "--", *command(pocket_base.path, out)]
    done = subprocess.run(limited, capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert "free space" in done.stderr
    assert "Traceback" not in done.stderr
    kept = lines(out / "answers.jsonl")
    assert kept > 0
    subprocess.run(command(pocket_base.path, out), check=True, capture_output=True)
    assert Run.open(out).status == "complete"
