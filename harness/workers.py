"""One thread per backend, so that scoring, programs and generation overlap.

A worker takes a wave of batches and posts each answer as it comes. It decides nothing: composition,
journal and scoring belong to the runner's own thread.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .backends.base import Backend
from .errors import BackendError, WaterbedError
from .records import Answer, Fault

if TYPE_CHECKING:
    from .runner import Live


@dataclass(frozen=True, slots=True)
class Arrived:
    """One answer."""

    live: Live
    answer: Answer | Fault
    cached: bool = False


@dataclass(frozen=True, slots=True)
class BatchDone:
    """A batch is complete; a good moment to flush."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The backend as a whole cannot go on."""

    error: BaseException


class Worker:
    """Drives one backend."""

    def __init__(self, backend: Backend, arrivals: queue.Queue[Arrived | BatchDone | Failed]):
        self.backend = backend
        self.arrivals = arrivals
        self.waves: queue.Queue[list[list[Live]] | None] = queue.Queue()
        self.stopping = threading.Event()
        self.busy = False
        self.thread = threading.Thread(target=self._work, name="waterbed-backend", daemon=True)
        self.thread.start()

    def begin(self, batches: list[list[Live]]) -> None:
        """Start on a wave; an empty one is over at once."""
        if batches:
            self.busy = True
            self.waves.put(batches)

    def close(self) -> None:
        """Stop after the answer in hand; waits for it, since a torch thread cannot be left behind."""
        self.stopping.set()
        self.waves.put(None)
        self.thread.join(timeout=60)

    def _work(self) -> None:
        while (batches := self.waves.get()) is not None:
            try:
                for number, batch in enumerate(batches, 1):
                    self._answer(batch)
                    if self.stopping.is_set():
                        return
                    if number == len(batches):
                        self.busy = False  # every answer of the wave is posted
                    self.arrivals.put(BatchDone())
            except WaterbedError as error:
                self.arrivals.put(Failed(error))
                return
            except (
                BaseException
            ) as error:  # reported as the backend's fault, or the runner would wait
                failure = BackendError(
                    f"The backend {self.backend.describe().get('name', '?')} failed with "
                    f"{type(error).__name__}: {error}; run the same command again, it resumes."
                )
                failure.__cause__ = error
                self.arrivals.put(Failed(failure))
                return

    def _answer(self, batch: list[Live]) -> None:
        tickets = [live.ticket for live in batch if live.ticket]
        answered: set[int] = set()
        for index, answer in self.backend.answer(tickets):
            if self.stopping.is_set():
                return
            answered.add(index)
            self.arrivals.put(Arrived(batch[index], answer))
        for index, live in enumerate(batch):
            if index not in answered:
                self.arrivals.put(Arrived(live, Fault("backend_error", "no answer came back")))
