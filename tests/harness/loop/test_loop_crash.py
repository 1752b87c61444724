"""A loop that is killed, or whose disk is full, goes on and ends in the same accepted checkpoint."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.stage import StageContext, stages

HARMLESS, RUINOUS = 0.001, 0.9


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


class Command:
    """`waterbed` in a process of its own, one at a time."""

    def __init__(self, warm: subprocess.Popen[str], folder: Path) -> None:
        self.warm, self.log = warm, folder / "log"
        self.environment = {"WATERBED_CACHE": str(folder / "cache")}

    def begin(self, *arguments: object, largest_file: int = 0) -> int:
        """The process id."""
        assert self.warm.stdin and self.warm.stdout
        order = {
            "arguments": [str(a) for a in arguments],
            "environment": self.environment,
            "log": str(self.log),
            "largest_file": largest_file,
        }
        self.warm.stdin.write(json.dumps(order) + "\n")
        self.warm.stdin.flush()
        return int(self.warm.stdout.readline())

    def ended(self, *, within: float | None = None) -> int | None:
        """The exit code; None if it is still running after so many seconds."""
        assert self.warm.stdout
        if within is not None and not select.select([self.warm.stdout], [], [], within)[0]:
            return None
        return int(self.warm.stdout.readline())

    def killed_at(self, out: Path, bytes_: int, *arguments: object) -> bool:
        """SIGKILL as soon as the folder is that large; False where the loop ended before."""
        child = self.begin(*arguments)
        while self.ended(within=0.01) is None:
            if size(out) >= bytes_:
                os.kill(child, signal.SIGKILL)
                return self.ended() == -signal.SIGKILL
        return False


@pytest.fixture(scope="module")
def warm() -> Iterator[subprocess.Popen[str]]:
    """See warm.py: what takes seconds to import is imported once."""
    line = [sys.executable, str(Path(__file__).with_name("warm.py"))]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()  # it has nothing to say, and takes seconds to take itself apart


@pytest.fixture
def command(warm: subprocess.Popen[str], tmp_path: Path) -> Command:
    return Command(warm, tmp_path)


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
    kills: int, recipe, noisy, command: Command, tmp_path: Path
) -> None:
    file = recipe(
        [
            noisy("one", HARMLESS),
            noisy("two", RUINOUS, on_red="retry", retry=[{"lr": HARMLESS}]),
            *([noisy("three", RUINOUS, on_red="rollback")] if kills > 2 else []),
        ]
    )
    code = 1 if kills > 2 else 0  # a stage that was dropped is no success
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    line = ("loop", file, "--out")
    command.begin(*line, whole)
    assert command.ended() == code, command.log.read_text()
    wanted = json.loads((whole / "accepted.json").read_text())
    assert wanted["attempt"] == "two.2"

    full, made = size(whole), {}
    instants = sorted(random.Random(kills).uniform(0.01, 0.99) * full for _ in range(kills))
    for instant in instants:
        more = ("--resume",) if (cut / "loop.jsonl").exists() else ()
        assert command.killed_at(cut, int(instant), *line, cut, *more)
        now = finished(cut)
        assert {name: now[name] for name in made} == made, "a finished checkpoint was made again"
        made = now
    command.begin(*line, cut, "--resume")
    assert command.ended() == code, command.log.read_text()
    found = json.loads((cut / "accepted.json").read_text())
    assert (found["attempt"], found["digest"]) == (wanted["attempt"], wanted["digest"])
    assert answers(cut) == answers(whole), "an answer was lost or asked twice"
    kinds = [json.loads(line)["kind"] for line in (cut / "loop.jsonl").read_text().splitlines()]
    assert sorted(kinds) == sorted(
        json.loads(line)["kind"] for line in (whole / "loop.jsonl").read_text().splitlines()
    )


@pytest.mark.parametrize("kilobytes", [16, 700])
def test_a_full_disk_stops_in_one_sentence_and_room_lets_it_go_on(
    kilobytes: int, recipe, noisy, command: Command, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    """A limit on file sizes makes writes fail as a full disk would: of answers, of weights."""
    stages.from_file(str(Path(__file__).with_name("toy_stages.py")))
    line = ("loop", recipe([noisy("one", HARMLESS)]), "--out", tmp_path / "out")
    command.begin(*line, largest_file=1000 * kilobytes)
    assert command.ended() == 4, command.log.read_text()
    said = command.log.read_text()
    assert "Traceback" not in said
    assert "resume" in said
    command.begin(*line, "--resume")
    assert command.ended() == 0, command.log.read_text()
    alone = stages.get("noise").run(pocket_base, StageContext(tmp_path / "alone"), lr=HARMLESS)
    accepted = json.loads((tmp_path / "out" / "accepted.json").read_text())
    assert (accepted["attempt"], accepted["digest"]) == ("one.1", alone.digest)
