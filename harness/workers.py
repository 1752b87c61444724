"""Threads that wait for backends, so that scoring, programs and generation overlap.

A worker takes a wave of batches and posts each answer as it comes; a backend that is waited for
(`parallel` above 1) has several batches under way at once. It decides nothing: composition, journal
and scoring belong to the runner's own thread.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .backends.base import Backend
from .errors import BackendError, WaterbedError
from .records import Answer, Fault

if TYPE_CHECKING:
    from .runner import Live

#: Longest wait for the batch in hand when a run ends early, in seconds.
PATIENCE_S = 60.0


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
    """Drives one backend, with as many threads as it can use."""

    def __init__(self, backend: Backend, arrivals: queue.Queue[Arrived | BatchDone | Failed]):
        self.backend = backend
        self.arrivals = arrivals
        self.batches: queue.Queue[list[Live] | None] = queue.Queue()
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.under_way = 0
        self.threads: list[threading.Thread] = []

    @property
    def busy(self) -> bool:
        """Whether an answer is still to be posted."""
        return self.under_way > 0

    @property
    def takes_more(self) -> bool:
        """Whether another wave can be begun now."""
        return self.backend.parallel > 1 or not self.busy

    def begin(self, batches: list[list[Live]]) -> None:
        """Start on a wave; an empty one is over at once."""
        with self.lock:
            self.under_way += len(batches)
        for batch in batches:
            self.batches.put(batch)
        while len(self.threads) < min(self.backend.parallel, self.under_way):
            thread = threading.Thread(target=self._work, name="waterbed-backend", daemon=True)
            self.threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Stop after the answers in hand.

        Waits for an engine of this process, since a torch thread cannot be left behind, but not for
        servers: closing the backend cuts those requests off.
        """
        self.stopping.set()
        for _ in self.threads:
            self.batches.put(None)
        end = time.monotonic() + (PATIENCE_S if self.backend.parallel == 1 else 1.0)
        for thread in self.threads:
            thread.join(timeout=max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        while (batch := self.batches.get()) is not None and not self.stopping.is_set():
            try:
                self._answer(batch)
            except WaterbedError as error:
                self.arrivals.put(Failed(error))
                return
            except BaseException as error:  # not reported, the runner would wait for ever
                self.arrivals.put(Failed(self._failure(error)))
                return
            if self.stopping.is_set():
                return
            with self.lock:
                self.under_way -= 1  # before the post: whoever receives it may begin a wave
            self.arrivals.put(BatchDone())

    def _failure(self, error: BaseException) -> BackendError:
        failure = BackendError(
            f"The backend {self.backend.describe().get('name', '?')} failed with "
            f"{type(error).__name__}: {error}; run the same command again, it resumes."
        )
        failure.__cause__ = error
        return failure

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
