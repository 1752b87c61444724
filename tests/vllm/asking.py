"""Requests of the pocket tasks, and asking a backend for all of them at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from waterbed.harness.backends.base import Backend, Ticket
from waterbed.harness.records import Choose, Generate, Generation, GenerationSettings, user
from waterbed.harness.tasks import resolve

TASKS = ("pocket/math", "pocket/instruction", "pocket/tools", "pocket/chat")


def first_requests(
    count: int, names: Sequence[str] = TASKS, **settings: Any
) -> list[tuple[Any, GenerationSettings]]:
    """The first request of so many samples of each task, with its settings."""
    found = []
    for task in resolve(names):
        decoded = task.decoded(**settings)
        for sample in task.items[:count]:
            conversation = task.converse(sample)
            found.append((next(conversation), decoded.settings))
            conversation.close()
    return found


def raw_questions(count: int) -> list[tuple[Any, GenerationSettings]]:
    """Plain text to continue, with a stop string."""
    settings = GenerationSettings(max_tokens=24, stop=("e",))
    return [(Generate(f"What is {n} plus {n + 3}?"), settings) for n in range(count)]


def choices(count: int) -> list[tuple[Any, GenerationSettings]]:
    """Choices of one and of several tokens, after chats and after raw text."""
    found = []
    for n in range(count):
        told = f"What is {n} plus 2?"
        prompt: Any = user(told) if n % 2 else told
        alternatives = (" yes", " no", " 7") if n % 3 else (" yes it is", " no", " 12 and more")
        found.append((Choose(prompt, alternatives), GenerationSettings()))
    return found


def ask(backend: Backend, asked: list[tuple[Any, GenerationSettings]], seeds: int = 0) -> list[Any]:
    """Answers in order; latencies, which differ, are left out."""
    tickets = [
        Ticket(request, backend.render(request), settings, seeds + i, "t", str(i), 0, 0)
        for i, (request, settings) in enumerate(asked)
    ]
    batches = backend.batches(tickets)
    with ThreadPoolExecutor(min(backend.parallel, len(batches))) as pool:
        done = pool.map(lambda batch: list(backend.answer([tickets[i] for i in batch])), batches)
        found = {
            batch[i]: answer
            for batch, answers in zip(batches, done, strict=True)
            for i, answer in answers
        }
    assert sorted(found) == list(range(len(asked)))
    return [
        dataclasses.replace(answer, latency_s=0.0) if isinstance(answer, Generation) else answer
        for answer in (found[i] for i in range(len(asked)))
    ]
