"""The border between the runner and whatever answers: one small protocol.

A backend renders prompts, answers batches and streams answers as they finish. It never scores, never
journals, and never raises for a single request (it yields a Fault). `FakeBackend` (fake.py) is the
smallest implementation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..records import (
    Answer,
    Choose,
    Fault,
    Generate,
    GenerationSettings,
    Request,
    canonical_json,
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request on its way to a backend, with all that its answer may depend on."""

    request: Request
    rendered: str
    """The exact text the model sees (or the canonical JSON of the request)."""
    settings: GenerationSettings
    seed: int
    """Seed of this one request; ignored where decoding is greedy."""
    task: str
    sample_id: str
    repeat: int
    ordinal: int
    """Position of this request in its conversation."""


def as_text(request: Request) -> str:
    """A request as text where no template is known: raw prompts as they are, chats as JSON."""
    if not isinstance(request, Generate | Choose):
        return type(request).__name__
    if isinstance(request.prompt, str):
        return request.prompt
    messages = [message.as_dict() for message in request.prompt]
    tools = list(request.tools) if isinstance(request, Generate) else []
    return canonical_json({"messages": messages, "tools": tools} if tools else messages)


def unreadable(ticket: Ticket) -> Fault | None:
    """Why this request cannot be put to any model, if so."""
    request = ticket.request
    if not isinstance(request, Generate | Choose):
        return Fault("backend_error", f"a model cannot answer {type(request).__name__}")
    texts = [ticket.rendered]
    if isinstance(request, Choose):
        if not request.choices or not all(request.choices):
            return Fault("backend_error", "an alternative is empty, which says nothing")
        texts.extend(request.choices)
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        return Fault("backend_error", f"the prompt is no valid text: {error}")
    return None


class Backend(Protocol):
    """Answers requests of one role."""

    @property
    def identity(self) -> str:
        """Changes whenever the same request could be answered otherwise: weights, engine, dtype."""
        ...

    @property
    def lockstep(self) -> bool:
        """Whether answers depend on the batch they are computed in; the runner then composes
        batches the same way each time, so that a resumed Run is byte-equal."""
        ...

    @property
    def parallel(self) -> int:
        """How many batches are answered at once, each on a thread of its own; 1 for an engine that
        fills the machine by itself, many for a server that is waited for."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What run.json records: name, versions, dtype, device, batch size, threads."""
        ...

    def render(self, request: Request) -> str:
        """The exact text the model will see.

        Raises:
            UsageError: the request cannot be put to this model (a chat without a template).
        """
        ...

    def batches(self, tickets: Sequence[Ticket]) -> list[list[int]]:
        """Cut a wave of tickets into batches of indices, in the order to run them."""
        ...

    def answer(self, tickets: Sequence[Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        """Answer one batch; yields (index into `tickets`, answer) in any order, each index once.

        Raises:
            BackendError: the backend as a whole cannot go on.
        """
        ...

    def close(self) -> None:
        """Free what the backend holds."""
        ...
