"""Fixtures of the sandbox tests: pools of each level, the corpora, and a host that can be harmed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.errors import NoSandbox
from waterbed.harness.sandbox import Call, Limits, Program, Sandbox

HERE = Path(__file__).parent
CANARY = Path("/tmp/sbx_canary")
TCP, UDP = 47391, 47392
#: Small enough that memory and time hogs end soon; far below what any of them needs to succeed.
QUICK = Limits(wall_s=1.0, memory_bytes=768 << 20)


@pytest.fixture(scope="session", params=["L3", "L2"])
def level(request: pytest.FixtureRequest) -> str:
    """Each level, skipped visibly where it does not work."""
    try:
        Sandbox.open(request.param, 1).close()
    except NoSandbox as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture(scope="session")
def sandbox(level: str) -> Iterator[Sandbox]:
    """A pool of one worker, so that programs follow each other in the same warm processes."""
    with Sandbox.open(level, 1) as pool:
        yield pool


@pytest.fixture(scope="session")
def any_sandbox() -> Iterator[Sandbox]:
    """A pool of two workers at the best level."""
    try:
        pool = Sandbox.open("auto", 2)
    except NoSandbox as error:
        pytest.skip(str(error))
    with pool:
        yield pool


@dataclass(frozen=True)
class Case:
    """A program of a corpus."""

    id: str
    hostile: bool
    program: Program
    kind: str = ""
    needs: tuple[str, ...] = ()


@pytest.fixture(scope="session")
def shared_corpus() -> list[Case]:
    """The corpus under WATERBED_VECTORS, in its order."""
    path = Path(os.environ.get("WATERBED_VECTORS", "/nowhere")) / "sandbox_corpus.jsonl"
    if not path.exists():
        pytest.skip("no sandbox_corpus.jsonl under WATERBED_VECTORS")
    return [_case(json.loads(line)) for line in path.read_text().splitlines()]


def _case(row: dict[str, Any]) -> Case:
    needs = tuple(row.get("needs") or ())
    limits = QUICK if row["kind"] == "hostile" else Limits(wall_s=row.get("timeout") or 5.0)
    if row.get("cls") == "resource":
        limits = replace(limits, wall_s=8.0)
    program = Program(
        row["prompt"],
        row["completion"],
        Call(row["test"]),
        row["entry_point"],
        limits,
        allow_fork="fork" in needs,
    )
    return Case(row["id"], row["kind"] == "hostile", program, row.get("cls") or "", needs)


ADD = 'def add(x: int, y: int):\n    """Add two numbers x and y"""\n'
#: One call with a sum that is not a constant of the test, so that nothing can be guessed.
ADD_ONCE = """\
def check(candidate):
    import random
    x, y = random.randint(10**6, 10**9), random.randint(10**6, 10**9)
    assert candidate(x, y) == x + y
"""
ADD_OFTEN = """\
def check(candidate):
    for x in range(20):
        assert candidate(x, 10 ** 6) == x + 10 ** 6
"""


@pytest.fixture(scope="session")
def own_corpus() -> list[Case]:
    """hostile_programs.txt: blocks of `### id [fork] [often] [slow]: why` and a body for `add`."""
    blocks = re.split(r"^### ", (HERE / "hostile_programs.txt").read_text(), flags=re.M)[1:]
    return [_own_case(block) for block in blocks]


def _own_case(block: str) -> Case:
    title, body = block.split("\n", 1)
    name, *flags = title.split(":")[0].split()
    test = ADD_OFTEN if "often" in flags else ADD_ONCE
    kind = "time" if "slow" in flags else ""
    program = Program(ADD, body, Call(test), "add", QUICK, allow_fork="fork" in flags)
    return Case(name, not name.startswith("honest"), program, kind)


class Host:
    """Things on this machine that a program could harm, and whether it did."""

    def __init__(self, home: Path) -> None:
        self.home = home
        shutil.rmtree(CANARY, ignore_errors=True)
        CANARY.mkdir(mode=0o777)
        CANARY.chmod(0o777)
        (CANARY / "secret.txt").write_text("SECRET")
        (CANARY / "victim.txt").write_text("alive")
        self.victim = subprocess.Popen(["sleep", "600"])
        (CANARY / "victim.pid").write_text(str(self.victim.pid))
        for file in CANARY.iterdir():
            file.chmod(0o666)
        self._doors = list(self._listen())
        self.before = self._files()

    def give_to(self, uid: int) -> None:
        """Let files and victim be the user's own, so that only the sandbox protects them."""
        self.victim.kill()
        self.victim.wait()
        self.victim = subprocess.Popen(["sleep", "600"], user=uid)
        (CANARY / "victim.pid").write_text(str(self.victim.pid))
        for file in (CANARY, *CANARY.iterdir()):
            os.chown(file, uid, uid)
        self.before = self._files()

    def harm(self) -> list[str]:
        """What happened since the start; empty for a host that is as it was."""
        reached, _, _ = select.select(self._doors, [], [], 0)
        found = [f"reached {door.getsockname()!r}" for door in reached]
        if (after := self._files()) != self.before:
            found.append(f"files changed: {sorted(set(after.items()) ^ set(self.before.items()))}")
        if self.victim.poll() is not None:
            found.append("the victim is dead")
        return found

    def close(self) -> None:
        for door in self._doors:
            door.close()
        self.victim.kill()
        self.victim.wait()
        shutil.rmtree(CANARY, ignore_errors=True)

    def _files(self) -> dict[str, tuple[int, int, bytes]]:
        found = {}
        for folder in (CANARY, self.home):
            for path in folder.rglob("*"):
                if path.is_file():
                    status = path.stat()
                    found[str(path)] = (status.st_mode, status.st_mtime_ns, path.read_bytes())
        return found

    def _listen(self) -> Iterator[socket.socket]:
        addresses: list[tuple[int, int, Any]] = [
            (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", TCP)),
            (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", UDP)),
            (socket.AF_UNIX, socket.SOCK_STREAM, "\0sbx_canary"),
            (socket.AF_UNIX, socket.SOCK_DGRAM, "\0sbx_canary_datagram"),
            (socket.AF_UNIX, socket.SOCK_STREAM, str(CANARY / "sock")),
        ]
        for family, kind, address in addresses:
            door = socket.socket(family, kind)
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(address)
            if kind == socket.SOCK_STREAM:
                door.listen()
            yield door


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host to harm: files, a process, listeners, a HOME and a token in the environment."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SBX_CANARY_TOKEN", "hf_canary")
    found = Host(tmp_path)
    yield found
    found.close()


@pytest.fixture
def leftovers() -> Callable[[int], int]:
    """Counts processes below this one, waiting a moment for them to become as few as expected."""

    def count(expected: int) -> int:
        until = time.monotonic() + 2.0
        while (found := len(_descendants())) > expected and time.monotonic() < until:
            time.sleep(0.02)
        return found

    return count


def _descendants() -> list[int]:
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{name}/stat").read_text()
            parents[int(name)] = int(text.rpartition(")")[2].split()[1])
    below = [os.getpid()]
    for pid in below:
        below += [child for child, parent in parents.items() if parent == pid]
    return below[1:]
