"""A backend made of one function: for tests, documentation and quick experiments.

It answers `Generate` with what the function returns for the rendered prompt: a text, or a whole
`Generation`, for example with calls. It is no model: it has no log-probabilities and counts words as
tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..records import Answer, Fault, Generate, Generation, Request
from .base import Ticket, as_text


class FakeBackend:
    """Answers every prompt with `fn(rendered prompt)`; a `Fault` or `Generation` is passed on."""

    lockstep = False
    parallel = 1

    def __init__(
        self,
        fn: Callable[[str], str | Generation | Fault],
        *,
        identity: str = "fake",
        batch_size: int = 64,
    ):
        self.fn = fn
        self.identity = identity
        self.batch_size = batch_size

    def describe(self) -> Mapping[str, Any]:
        """Name only: there is nothing else."""
        return {"name": "fake", "identity": self.identity}

    def render(self, request: Request) -> str:
        """Text as it is; chats as one JSON line."""
        return as_text(request)

    def batches(self, tickets: Sequence[Ticket]) -> list[list[int]]:
        """In the order given."""
        step = self.batch_size
        return [list(range(i, min(i + step, len(tickets)))) for i in range(0, len(tickets), step)]

    def answer(self, tickets: Sequence[Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        """Call the function once a ticket."""
        for index, ticket in enumerate(tickets):
            if not isinstance(ticket.request, Generate):
                yield index, Fault("backend_error", "FakeBackend only answers Generate requests")
                continue
            said = self.fn(ticket.rendered)
            if isinstance(said, Fault | Generation):
                yield index, said
            else:
                yield (
                    index,
                    Generation(
                        said,
                        prompt_tokens=len(ticket.rendered.split()),
                        completion_tokens=len(said.split()),
                    ),
                )

    def close(self) -> None:
        """Nothing to free."""
