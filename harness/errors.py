"""The error tree: every failure a user can meet, with its exit code.

WaterbedError
├── UsageError (2)            what the user asked for cannot be done as asked
│   ├── UnknownName           a suite, task, stage, dataset or key that does not exist; suggests the nearest
│   ├── ConfigError           a YAML file with wrong keys or values; lists all of them, file:line each
│   └── IncomparableRuns      two Runs that were not made the same way; names what differs
├── DataError (4)             a file that was found but cannot be trusted
│   └── CheckpointError       weights missing, truncated, pickled, not finite
├── TrainingDiverged (4)      a loss or the weights are no longer finite; the rates were too high
├── InstrumentError (4)       the measuring side failed; never the model's score
│   ├── BackendError
│   ├── NoSandbox
│   └── StoreError            the Run cannot be written or read back
└── Interrupted (130)

Every message is one sentence with the value seen and the next step. This file does not decide
outcomes of a gate (harness/verdict.py does) and prints nothing (harness/cli does).
Each class also derives from the standard error a library user would catch, and survives pickling.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class WaterbedError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 4


class UsageError(WaterbedError, ValueError):
    """The request itself is wrong: arguments, names, configuration."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that nothing is registered under."""

    @classmethod
    def of(cls, kind: str, seen: str, known: Iterable[str], hint: str = "") -> UnknownName:
        """Build the sentence, with the nearest known name where one is near."""
        known = sorted(known)
        near = difflib.get_close_matches(seen, known, n=1, cutoff=0.5)
        guess = (
            f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known) or 'none'}."
        )
        return cls(f"There is no {kind} '{seen}'{guess}{' ' + hint if hint else ''}")


class ConfigError(UsageError):
    """A configuration file that does not validate; the message lists every problem."""

    @classmethod
    def of(cls, problems: Sequence[str]) -> ConfigError:
        """Join all problems, one a line, each already prefixed with file:line."""
        return cls("\n".join(problems))


class IncomparableRuns(UsageError):
    """Baseline and candidate differ in something that makes a paired comparison meaningless."""


class DataError(WaterbedError, ValueError):
    """A data file is malformed; the message names file:line and the value seen."""


class CheckpointError(DataError):
    """A checkpoint folder cannot be evaluated as it is."""


class TrainingDiverged(WaterbedError, ArithmeticError):
    """Training left the finite numbers; a loop counts the attempt as broken and may try gentler rates."""


class InstrumentError(WaterbedError, RuntimeError):
    """Something on the measuring side failed."""


class BackendError(InstrumentError):
    """A backend cannot start or cannot go on."""


class NoSandbox(InstrumentError):
    """No isolation level that is safe enough works on this machine."""


class StoreError(InstrumentError, OSError):
    """A Run directory cannot be written or read (disk full, permissions, foreign content)."""


class Interrupted(WaterbedError):
    """The user stopped the work; the Run is resumable."""

    exit_code = 130
