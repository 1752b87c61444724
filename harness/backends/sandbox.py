"""The sandbox as a backend: `Execute` requests in, `Execution`s out, pooled like every other answer.

Opening it tries the isolation levels and refuses at once where none works, so that no Run ends in the
middle for want of a sandbox. A `sandbox_error` is a Fault of the instrument; every other outcome is
evidence for the task that asked. Not here: isolation itself (harness/sandbox/).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..records import Answer, Execute, Fault, Request, canonical_json
from .base import Ticket

if TYPE_CHECKING:
    from ..sandbox import Runtime


class SandboxBackend:
    """Serves the role `sandbox`.

    Args:
        runtime: an open Sandbox or a stronger runtime; None opens the best level that works here.

    Raises:
        NoSandbox: no level works here.
    """

    lockstep = False
    parallel = 1

    def __init__(self, runtime: Runtime | None = None) -> None:
        from ..sandbox import Sandbox

        self.runtime = Sandbox.open() if runtime is None else runtime

    @property
    def identity(self) -> str:
        """Level, interpreter and default limits; a program carries its own limits."""
        return f"sandbox-{self.runtime.manifest()['sha256']}"

    def describe(self) -> Mapping[str, Any]:
        """The sandbox's manifest."""
        return {"name": "sandbox", **self.runtime.manifest()}

    def render(self, request: Request) -> str:
        """The program with its test and limits, as canonical JSON."""
        if not isinstance(request, Execute):
            return canonical_json(type(request).__name__)
        return canonical_json(request.program.to_json())

    def batches(self, tickets: Sequence[Ticket]) -> list[list[int]]:
        """All at once: the pool has its own back-pressure. Programs of one test stay together."""
        order = sorted(range(len(tickets)), key=lambda i: _test_of(tickets[i]))
        return [order] if order else []

    def answer(self, tickets: Sequence[Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        """Run every program; yields as they finish."""
        programs = []
        places = []
        for place, ticket in enumerate(tickets):
            if isinstance(ticket.request, Execute):
                programs.append(ticket.request.program)
                places.append(place)
            else:
                yield place, Fault("sandbox_error", "the sandbox only runs programs")
        for position, execution in self.runtime.run(programs):
            if execution.outcome == "sandbox_error":
                yield places[position], Fault("sandbox_error", execution.detail)
            else:
                yield places[position], execution

    def close(self) -> None:
        """End every process of the pool."""
        self.runtime.close()


def _test_of(ticket: Ticket) -> str:
    request = ticket.request
    return repr(request.program.check) if isinstance(request, Execute) else ""
