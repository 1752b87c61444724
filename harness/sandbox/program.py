"""What goes into the sandbox and what comes out: programs, checks, limits, executions.

Plain frozen records, importable without starting anything. Not here: how a program is run
(worker.py), how the level is chosen (pool.py), what a suite makes of an outcome.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

Outcome: TypeAlias = Literal["passed", "failed", "timeout", "crashed", "limit", "sandbox_error"]
Integrity: TypeAlias = Literal["split", "shared"]
Level: TypeAlias = str
"""`L3`, `L2`, `L1`, or the name of a stronger runtime."""


@dataclass(frozen=True, slots=True)
class Call:
    """Test code that defines `check(candidate)` and calls it; runs where the candidate is not."""

    test: str


@dataclass(frozen=True, slots=True)
class Stdio:
    """Whole-program runs: each case is (text on stdin, expected text on stdout).

    Compared as LiveCodeBench does: outer and per-line white space stripped, then equal numbers of
    lines, each line equal or equal token by token as decimal numbers.
    """

    cases: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Test code that must share the candidate's process (unittest, mocks, returned classes).

    The program can see and change such a test, so the result is labelled `shared`: good enough to
    measure an honest model, not to reward one.
    """

    test: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use. Every field is part of `manifest` and so of its hash."""

    wall_s: float = 3.0
    """Seconds on the clock, from the fork to the verdict; per case for `Stdio`."""
    memory_bytes: int = 2 << 30
    """Address space. With `allow_fork` it is divided by `processes`, which bounds the sum."""
    tasks: int = 32
    """Threads of one program."""
    processes: int = 8
    """Processes of one program with `allow_fork`, itself included."""
    file_bytes: int = 64 << 20
    disk_bytes: int = 64 << 20
    """Sum over the scratch directory: a tmpfs size at L3, polled and checked at the end at L2."""
    shm_bytes: int = 16 << 20
    """Size of /dev/shm at L3; at L2 there is none."""
    inodes: int = 4096
    open_files: int = 256
    output_bytes: int = 16 << 20
    """Standard output kept of a `Stdio` case; more is `limit`. Other output is discarded."""
    frame_bytes: int = 16 << 20
    """Largest argument list or result that may cross between candidate and test."""
    depth: int = 100
    """Deepest nesting of a value that may cross."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0 or not math.isfinite(value):
                raise ValueError(f"Limits.{name} must be above 0 and finite, got {value!r}.")

    @property
    def cpu_s(self) -> int:
        """CPU seconds (RLIMIT_CPU takes whole ones): one above the wall limit."""
        return math.ceil(self.wall_s) + 1

    def manifest(self) -> dict[str, float]:
        """Every limit by name, for run.json."""
        return {**asdict(self), "cpu_s": self.cpu_s}

    def digest(self) -> str:
        """First 16 hex digits of the sha256 of the manifest."""
        return _digest(self.manifest())


@dataclass(frozen=True, slots=True)
class Program:
    """One program with its test. The candidate is `prompt + completion`; the test is not in it."""

    prompt: str
    completion: str
    check: Call | Stdio | Source
    entry_point: str = ""
    """What `check` is called with: a name, or `Class().method`. Unused by `Stdio` and `Source`."""
    limits: Limits = field(default_factory=Limits)
    allow_fork: bool = False

    @property
    def integrity(self) -> Integrity:
        """Whether the verdict is out of the candidate's reach (`split`) or not (`shared`)."""
        return "shared" if isinstance(self.check, Source) else "split"

    def to_json(self) -> dict[str, Any]:
        """Everything that determines the result, for journal keys."""
        return {"kind": type(self.check).__name__.lower(), **asdict(self)}

    def digest(self) -> str:
        """First 16 hex digits of the sha256 over all fields."""
        return _digest(self.to_json())


@dataclass(frozen=True, slots=True)
class Execution:
    """What happened to one program. Only `sandbox_error` is the instrument's fault."""

    outcome: Outcome
    integrity: Integrity
    level: Level
    wall_s: float
    cpu_s: float
    """CPU seconds of program and test: far below `wall_s` on a slow host or for a sleeper."""
    detail: str = ""
    """One line for people. May quote the program: hostile text."""
    first_try: Execution | None = None
    """The time-out that made this a second, lonely attempt."""

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, for the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Execution:
        """The inverse of `to_json`."""
        first = row.get("first_try")
        return cls(**{**row, "first_try": cls.from_json(first) if first else None})


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
