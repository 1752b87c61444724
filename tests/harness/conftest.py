"""The real command line, run in this process: exit code, stdout, stderr."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from waterbed.harness.cli.app import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


def _waterbed(*arguments: object) -> Done:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(a) for a in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def waterbed() -> Callable[..., Done]:
    """`waterbed(...)`, as a shell would see it."""
    return _waterbed
