"""Runs the real command line in this process: exit code, stdout, stderr."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from unittest import mock

import waterbed.harness.cli.app as command_line


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


def waterbed(*arguments: object) -> Done:
    """`waterbed ARGUMENTS`, as a shell would see it."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    argv = ["waterbed", *(str(a) for a in arguments)]
    with mock.patch("sys.argv", argv), contextlib.redirect_stdout(out):
        with contextlib.redirect_stderr(err):
            try:
                command_line.main()
            except SystemExit as exit_:
                code = int(exit_.code or 0)
    return Done(code, out.getvalue(), err.getvalue())
