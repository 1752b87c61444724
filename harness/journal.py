"""The append-only journal of a Run: every answer, under a key that says what it depended on.

Resume, caching, replay and re-scoring are one thing: run the conversation again and answer from here.
A torn last line (the process died while writing) is dropped when the journal is opened. Faults of the
instrument are never journaled, so a second attempt asks again. Not here: tables of a finished Run
(run.py), sharing answers between Runs (answer_cache.py).
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .backends.base import Ticket
from .errors import StoreError
from .records import Answer, Choice, Execute, Generation, Role, ToolCall, content_hash


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer and the request it belongs to."""

    key: str
    role: Role
    ticket: Ticket
    answer: Answer
    cached: bool = False
    """Taken from another Run before any batch was composed."""


def answer_key(role: Role, identity: str, ticket: Ticket) -> str:
    """The key of one answer within a Run: k samples of one prompt are k answers."""
    place = [ticket.task, ticket.sample_id, ticket.repeat, ticket.ordinal]
    return content_hash([_asked(role, identity, ticket), ticket.seed, place], digits=40)


def shared_key(role: Role, identity: str, ticket: Ticket) -> str | None:
    """The key across Runs: without the request's place, and only for what a model says greedily."""
    if not ticket.settings.greedy or isinstance(ticket.request, Execute):
        return None
    return content_hash(_asked(role, identity, ticket), digits=40)


def _asked(role: Role, identity: str, ticket: Ticket) -> list[Any]:
    request = ticket.request
    extra = list(getattr(request, "choices", ())) or type(request).__name__
    return [role, identity, ticket.rendered, ticket.settings.as_dict(), extra]


def encode_answer(answer: Answer) -> dict[str, Any]:
    """An answer as JSON-able data with its type."""
    return {"type": type(answer).__name__, **dataclasses.asdict(answer)}


def decode_answer(data: Mapping[str, Any]) -> Answer:
    """The inverse of `encode_answer`.

    Raises:
        KeyError, TypeError: the data is not an encoded answer.
    """
    fields = dict(data)
    kind = fields.pop("type")
    if kind == "Generation":
        calls = tuple(ToolCall(**call) for call in fields.pop("calls", ()))
        return Generation(**fields, calls=calls)
    if kind == "Choice":
        return Choice(tuple(fields.pop("logprobs")), tuple(fields.pop("token_counts")), **fields)
    if kind == "Execution":
        from .sandbox.program import Execution

        return Execution.from_json(fields)
    raise KeyError(kind)


class AnswerLog(Protocol):
    """Where the runner looks for answers before it asks, and keeps those it got."""

    def find(self, key: str) -> tuple[Answer, bool] | None:
        """A journaled answer and whether it came from another Run."""
        ...

    def add(self, entry: Entry) -> None:
        """Keep an answer; may be buffered until `flush`."""
        ...

    def flush(self) -> None:
        """Make everything added durable."""
        ...


class MemoryLog:
    """A log that forgets: for rewards and for trying things out."""

    def find(self, key: str) -> tuple[Answer, bool] | None:  # noqa: ARG002
        """Nothing is ever found."""
        return None

    def add(self, entry: Entry) -> None:
        """Drop it."""

    def flush(self) -> None:
        """Nothing to do."""


class Journal:
    """`answers.jsonl` of a Run."""

    def __init__(self, path: Path) -> None:
        """Load what is there, cut a torn last line off, and open for appending.

        Raises:
            StoreError: the file cannot be read or written.
        """
        self.path = path
        self._known: dict[str, tuple[Answer, bool]] = {}
        self._buffer: list[str] = []
        try:
            self._load()
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise self._failed(error) from error

    def _load(self) -> None:
        good = 0
        if not self.path.exists():
            return
        with self.path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n") or not self._read(line):
                    break
                good += len(line)
        os.truncate(self.path, good)

    def _read(self, line: bytes) -> bool:
        try:
            row = json.loads(line)
            self._known[row["key"]] = (decode_answer(row["answer"]), row["cached"])
        except (ValueError, KeyError, TypeError):
            return False
        return True

    def find(self, key: str) -> tuple[Answer, bool] | None:
        """See AnswerLog."""
        return self._known.get(key)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, entry: Entry) -> None:
        """Buffer one line; the first answer under a key stays."""
        if entry.key in self._known:
            return
        self._known[entry.key] = (entry.answer, entry.cached)
        ticket = entry.ticket
        row = {
            "key": entry.key,
            "role": entry.role,
            "task": ticket.task,
            "sample": ticket.sample_id,
            "repeat": ticket.repeat,
            "ordinal": ticket.ordinal,
            "cached": entry.cached,
            "answer": encode_answer(entry.answer),
        }
        self._buffer.append(json.dumps(row, ensure_ascii=True) + "\n")

    def flush(self) -> None:
        """Write the buffered lines in one go.

        Raises:
            StoreError: the disk is full or the file is gone.
        """
        if not self._buffer:
            return
        try:
            rest = memoryview("".join(self._buffer).encode())
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            raise self._failed(error) from error
        self._buffer.clear()

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._file.close()

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(
            f"Cannot write '{self.path}' ({error.strerror or error}); free space or fix the "
            "permissions, then run the same command again: it resumes."
        )
