"""What a sample's process does: run prompt + completion, and answer calls to its entry point.

Everything here shares a process with hostile code, so nothing here is evidence: verdicts are made
in checker.py, in another process tree. This process never holds a test or an expected value,
except in `source` mode, which is labelled `shared` for that reason.
Standard library only.
"""

from __future__ import annotations

import os
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from . import semaphores
from .calls import Endpoint, Gone
from .wire import read_spec

_ENTRY = re.compile(r"(\w+)(?:\(\)\.(\w+))?")


def main(channel: int, spec_fd: int) -> None:
    """Run one program. `channel` leads to its checker; returns or raises when it is done."""
    spec = read_spec(spec_fd)
    if spec["fork"]:
        semaphores.install()
    {"call": _serve_calls, "stdio": _run_script, "source": _run_with_test}[spec["kind"]](
        channel, spec
    )


def _serve_calls(channel: int, spec: dict[str, Any]) -> None:
    module = _module("candidate")
    endpoint = Endpoint(channel, spec["cap"], spec["depth"], {})
    try:
        exec(compile(spec["source"], "<candidate>", "exec"), module.__dict__)
        endpoint.export(_entry(spec["entry"], module.__dict__))
    except BaseException as error:
        endpoint.load_failed(error)
        return
    try:
        endpoint.serve()
    except Gone:
        return


def _run_script(channel: int, spec: dict[str, Any]) -> None:
    """Run the source as a script whose standard input and output are the channel."""
    os.dup2(channel, 0)
    os.dup2(channel, 1)
    os.close(channel)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    module = _module("__main__")
    try:
        exec(compile(spec["source"], "<candidate>", "exec"), module.__dict__)
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise
    finally:
        sys.stdout.flush()


def _run_with_test(channel: int, spec: dict[str, Any]) -> None:
    """Shared mode: program and test in one process; the nonce says that its end was reached."""
    nonce = spec.pop("nonce")
    module = _module("__main__")
    exec(compile(spec["source"], "<candidate>", "exec"), module.__dict__)
    os.write(channel, nonce.encode())


def _module(name: str) -> types.ModuleType:
    """A fresh module, registered so that classes defined in it can be pickled."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module


def _entry(name: str, names: dict[str, Any]) -> Callable[..., Any]:
    match = _ENTRY.fullmatch(name)
    if match is None:
        raise NameError(f"entry point {name!r} is neither a name nor Class().method")
    owner, method = match.groups()
    if owner not in names:
        raise NameError(f"name '{owner}' is not defined")
    found = getattr(names[owner](), method) if method else names[owner]
    if not callable(found):
        raise TypeError(f"entry point {name!r} is a {type(found).__name__}")
    return found  # type: ignore[no-any-return]
