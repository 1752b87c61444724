"""Answers from recorded responses, so that answers made elsewhere are scored without a model.

A file holds one `{id, response, repeat?}` a line. Only the first request of a conversation has a
recorded answer; later ones, and ids that are not there, are missing responses. Not here: comparing the
ids with a task's (the caller does, with `ids`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..jsonl import numbered_jsonl
from ..records import (
    Answer,
    Fault,
    Generate,
    Generation,
    Request,
    content_hash,
)
from .base import Ticket, as_text
from .thinking import split_thinking

BATCH = 256


def load_responses(path: str | Path) -> dict[tuple[str, int], str]:
    """Recorded responses by (sample id, repeat).

    Raises:
        UsageError: there is no such file.
        DataError: a line is malformed or repeats another, or there is none; names file:line.
    """
    return _collect(numbered_jsonl(path)) or _none(path)


def _none(path: object) -> dict[tuple[str, int], str]:
    raise DataError(f"{path} holds no responses; write one {{id, response}} a line.")


def _collect(rows: Iterable[tuple[str, Any]]) -> dict[tuple[str, int], str]:
    responses: dict[tuple[str, int], str] = {}
    places: dict[tuple[str, int], str] = {}
    for place, row in rows:
        key, response = _check(place, row)
        if key in places:
            raise DataError(
                f"{place}: id {key[0]!r} repeat {key[1]} is already at {places[key]}; "
                "give several answers of one item different 'repeat' numbers."
            )
        places[key], responses[key] = place, response
    return responses


def _check(place: str, row: Any) -> tuple[tuple[str, int], str]:
    if not isinstance(row, Mapping):
        raise DataError(f"{place}: expected an object, got {_shown(row)}; write {{id, response}}.")
    name, response, repeat = row.get("id"), row.get("response"), row.get("repeat", 0)
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise DataError(f"{place}: 'id' must be text or an integer, got {_shown(name)}.")
    if not isinstance(response, str):
        raise DataError(f"{place}: 'response' must be text, got {_shown(response)}.")
    if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 0:
        raise DataError(f"{place}: 'repeat' must be 0 or more, got {_shown(repeat)}.")
    return (str(name), repeat), response


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class ReplayBackend:
    """Answers the first request of each conversation with what was recorded for its sample.

    Args:
        responses: a JSONL file, or rows of the same form.

    Raises:
        UsageError, DataError: see `load_responses`.
    """

    lockstep = False
    parallel = 1

    def __init__(self, responses: str | Path | Iterable[Mapping[str, Any]]) -> None:
        if isinstance(responses, str | Path):
            self.source = str(responses)
            self.responses = load_responses(responses)
        else:
            self.source = "rows"
            rows = ((f"row {n}", row) for n, row in enumerate(responses, 1))
            self.responses = _collect(rows) or _none("The list")
        self.identity = content_hash(
            ["replay", sorted([*key, text] for key, text in self.responses.items())], digits=32
        )

    @property
    def ids(self) -> frozenset[str]:
        """The sample ids that have a response."""
        return frozenset(name for name, _ in self.responses)

    @property
    def repeats(self) -> int:
        """How many answers an item has at most."""
        return 1 + max(repeat for _, repeat in self.responses)

    def describe(self) -> Mapping[str, Any]:
        """Where the responses came from."""
        return {
            "name": "replay",
            "source": Path(self.source).name,
            "responses": len(self.responses),
            "content": self.identity,
        }

    def render(self, request: Request) -> str:
        """The prompt as the task gives it: no template is known here."""
        return as_text(request)

    def batches(self, tickets: Sequence[Ticket]) -> list[list[int]]:
        """In the order given."""
        whole = range(len(tickets))
        return [list(whole[i : i + BATCH]) for i in whole[::BATCH]]

    def answer(self, tickets: Sequence[Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        """Look each one up."""
        for index, ticket in enumerate(tickets):
            yield index, self._recorded(ticket)

    def _recorded(self, ticket: Ticket) -> Answer | Fault:
        text = self.responses.get((ticket.sample_id, ticket.repeat))
        if text is None or ticket.ordinal > 0 or not isinstance(ticket.request, Generate):
            what = f"id {ticket.sample_id!r} repeat {ticket.repeat} request {ticket.ordinal}"
            return Fault("missing_response", f"nothing recorded for {what}")
        thinking, answer = split_thinking(text)
        return Generation(answer, thinking=thinking)

    def close(self) -> None:
        """Nothing to free."""
