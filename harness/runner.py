"""The runner: keeps every conversation alive, pools what they wait for, sends answers back in.

Requests are pooled by role into waves; each backend works through its wave on a thread of its own
while this thread scores the answers that have arrived, so sandbox, judge and candidate overlap. Items
go in hash order, cut into blocks; after each complete block of a task `stop` is asked. The runner
knows no statistics, writes no tables, and never turns a fault of the instrument into a score of 0.

A backend in lockstep (its answers depend on the batch) gets its next wave only when nothing else is
under way: batches are then composed the same way however the timing fell, and also after a resume.
"""

from __future__ import annotations

import hashlib
import queue
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .answer_cache import AnswerCache
from .backends.base import Backend, Ticket
from .errors import UsageError, WaterbedError
from .journal import AnswerLog, Entry, MemoryLog, answer_key, shared_key
from .records import (
    Answer,
    Conversation,
    Fault,
    Generation,
    Request,
    Role,
    Sample,
    Score,
)
from .tasks import Task
from .workers import Arrived, BatchDone, Failed, Worker

ScoreKey = tuple[str, str, int]
"""(task, sample id, repeat)"""
Stop = Callable[[str, Mapping[ScoreKey, Score]], bool]
Progress = Callable[[int, int], None]


def hash_order(task: Task, items: Iterable[Sample], seed: int) -> list[Sample]:
    """Items in an order that says nothing about them (gate statistics b.1)."""

    return sorted(items, key=lambda item: hash_place(seed, task.version, item.id))


def hash_place(seed: int, version: str, sample_id: str) -> str:
    """What the hash order sorts by."""
    return hashlib.sha256(f"{seed}|{version}|{sample_id}".encode()).hexdigest()


def _unwatched(done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What to run of one task."""

    task: Task
    items: Sequence[Sample]
    """In the order to run them."""
    repeats: int = 1
    looks: tuple[int, ...] = ()
    """Numbers of items after which `stop` is asked; the last is always all of them."""

    def blocks(self) -> list[Sequence[Sample]]:
        """The items between looks."""
        cuts = sorted({c for c in self.looks if 0 < c < len(self.items)} | {len(self.items)})
        return [self.items[a:b] for a, b in zip([0, *cuts[:-1]], cuts, strict=True)]


@dataclass(slots=True)
class Live:
    """A conversation that waits for an answer."""

    task: Task
    sample: Sample
    repeat: int
    conversation: Conversation
    rank: tuple[int, int, int]
    """(task, item, repeat) positions: the order in which waves are composed."""
    ordinal: int = 0
    role: Role = "candidate"
    ticket: Ticket | None = None
    key: str = ""
    said: Generation | None = None
    """The candidate's last answer."""

    @property
    def score_key(self) -> ScoreKey:
        return (self.task.name, self.sample.id, self.repeat)


@dataclass(slots=True)
class _Progress:
    """Where one task stands."""

    plan: TaskPlan
    blocks: list[Sequence[Sample]]
    next_block: int = 0
    open: int = 0
    stopped: bool = False
    scores: dict[ScoreKey, Score] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run produced."""

    scores: Mapping[ScoreKey, Score]
    entries: Sequence[Entry]
    """Every answer used, in the order of arrival."""
    prompts: Mapping[ScoreKey, str]
    """The first rendered prompt of each conversation."""
    stopped: frozenset[str]
    """Tasks that `stop` ended before their last item."""


def nobody(task: Task, role: Role) -> UsageError:
    """A task asks for a role that nobody plays."""
    return UsageError(
        f"Task '{task.name}' asks for the role '{role}', which has no backend; pass --{role}."
    )


class Runner:
    """One run over some tasks. Make one, call `run` once."""

    def __init__(
        self,
        backends: Mapping[Role, Backend],
        *,
        log: AnswerLog | None = None,
        cache: AnswerCache | None = None,
        seed: int = 0,
        stop: Stop | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.backends = backends
        self.log: AnswerLog = MemoryLog() if log is None else log
        self.cache = cache
        self.seed = seed
        self.stop = stop
        self.progress: Progress = progress or _unwatched
        self.arrivals: queue.Queue[Arrived | BatchDone | Failed] = queue.Queue()
        self.workers: dict[int, Worker] = {}
        self.pending: dict[Role, list[Live]] = {}
        self.entries: list[Entry] = []
        self.prompts: dict[ScoreKey, str] = {}
        self.done = self.total = 0

    def run(self, plans: Sequence[TaskPlan]) -> Outcome:
        """Score everything, or as much as `stop` wants.

        Raises:
            WaterbedError: a backend cannot go on; what was answered is in the log.
            KeyboardInterrupt: likewise.
        """
        states = {p.task.name: _Progress(p, p.blocks()) for p in plans}
        self.total = sum(len(p.items) * p.repeats for p in plans)
        try:
            for number, state in enumerate(states.values()):
                self._begin_block(number, state)
            while any(s.open for s in states.values()):
                self._dispatch()
                self._receive(states)
        finally:
            self._shut_down()
        scores = {k: s for state in states.values() for k, s in state.scores.items()}
        stopped = frozenset(n for n, s in states.items() if s.stopped)
        return Outcome(scores, self.entries, self.prompts, stopped)

    def score(self, task: Task, pairs: Sequence[tuple[Sample, Generation]]) -> list[Score]:
        """Grade answers that exist already, in order; judges and programs go through the pools."""
        state = _Progress(TaskPlan(task, []), [])
        for index, (sample, generation) in enumerate(pairs):
            live = Live(task, sample, index, task.grade(sample, generation), (0, index, 0))
            live.said = generation
            state.open += 1
            self._advance(live, state, None)
        try:
            while state.open:
                self._dispatch()
                self._receive({task.name: state})
        finally:
            self._shut_down()
        return [state.scores[(task.name, s.id, i)] for i, (s, _) in enumerate(pairs)]

    def share_answers(self) -> None:
        """Put this run's greedy answers into the cache, for other Runs."""
        if self.cache is None:
            return
        fresh = [e for e in self.entries if not e.cached and self.cache.takes(e.role)]
        keyed = [
            (shared_key(e.role, self.backends[e.role].identity, e.ticket), e.answer) for e in fresh
        ]
        self.cache.add({key: answer for key, answer in keyed if key})

    # -- conversations ---------------------------------------------------------------------------

    def _begin_block(self, number: int, state: _Progress) -> None:
        task = state.plan.task
        first = sum(len(b) for b in state.blocks[: state.next_block])
        block = state.blocks[state.next_block]
        state.next_block += 1
        state.open += len(block) * state.plan.repeats
        for position, sample in enumerate(block, first):
            for repeat in range(state.plan.repeats):
                rank = (number, position, repeat)
                live = Live(task, sample, repeat, task.converse(sample), rank)
                self._advance(live, state, None)

    def _advance(self, live: Live, state: _Progress, answer: Answer | None) -> None:
        """Send an answer in (None starts) and file what the conversation wants next."""
        try:
            request = live.conversation.send(answer)
        except StopIteration as finished:
            self._finish(live, state, _explained(finished.value, live.said))
        except WaterbedError:
            raise
        except Exception as error:  # a scorer's fault must not cost the Run
            self._finish(live, state, Score.unscored("scorer_error", error=repr(error)[:500]))
        else:
            self._file(live, request)

    def _file(self, live: Live, request: Request) -> None:
        backend = self._backend(live, request)
        settings = getattr(request, "settings", None) or live.task.settings
        rendered = backend.render(request)
        place = f"{self.seed}|{live.task.name}|{live.sample.id}|{live.repeat}|{live.ordinal}"
        live.ticket = Ticket(
            request=request,
            rendered=rendered,
            settings=settings,
            seed=int(hashlib.sha256(place.encode()).hexdigest()[:15], 16),
            task=live.task.name,
            sample_id=live.sample.id,
            repeat=live.repeat,
            ordinal=live.ordinal,
        )
        live.role = request.role
        live.key = answer_key(live.role, backend.identity, live.ticket)
        if live.ordinal == 0:
            self.prompts[live.score_key] = rendered
        live.ordinal += 1
        self.pending.setdefault(live.role, []).append(live)

    def _backend(self, live: Live, request: Request) -> Backend:
        backend = self.backends.get(request.role)
        if backend is None:
            raise nobody(live.task, request.role)
        return backend

    def _finish(self, live: Live, state: _Progress, score: Score) -> None:
        live.conversation.close()
        state.scores[live.score_key] = score
        state.open -= 1
        self.done += 1
        self.progress(self.done, self.total)
        if state.open == 0 and state.next_block < len(state.blocks):
            if self.stop and self.stop(live.task.name, dict(state.scores)):
                state.stopped = True
            else:
                self._begin_block(live.rank[0], state)

    # -- pools -----------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Hand every worker that takes more the wave that waits for it."""
        idle = all(not w.busy for w in self.workers.values())
        for role in [r for r, waiting in self.pending.items() if waiting]:
            backend = self.backends[role]
            worker = self._worker(backend)
            if not worker.takes_more or (backend.lockstep and not (idle and self.arrivals.empty())):
                continue
            wave = sorted(self.pending.pop(role), key=lambda live: live.rank)
            worker.begin(self._compose(role, backend, wave))

    def _compose(self, role: Role, backend: Backend, wave: list[Live]) -> list[list[Live]]:
        """The batches to compute; whatever is known already arrives at once.

        In lockstep, answers journaled by this very Run keep their place in the composition, so that a
        batch which was cut short is computed again as a whole, with the same neighbors.
        """
        self._look_up_shared(role, backend, wave)
        fresh: list[Live] = []
        for live in wave:
            known = self.log.find(live.key)
            if known and (known[1] or not backend.lockstep):
                self.arrivals.put(Arrived(live, known[0], known[1]))
            else:
                fresh.append(live)
        batches = []
        for indices in backend.batches([live.ticket for live in fresh if live.ticket]):
            batch = [fresh[i] for i in indices]
            known_all = [self.log.find(live.key) for live in batch]
            if all(known_all):
                for live, known in zip(batch, known_all, strict=True):
                    assert known is not None
                    self.arrivals.put(Arrived(live, known[0], known[1]))
            else:
                batches.append(batch)
        return batches

    def _look_up_shared(self, role: Role, backend: Backend, wave: list[Live]) -> None:
        if self.cache is None or not self.cache.takes(role):
            return
        keys = {}
        for live in wave:
            if live.ticket and not self.log.find(live.key):
                shared = shared_key(role, backend.identity, live.ticket)
                if shared:
                    keys[live.key] = shared
        found = self.cache.find(set(keys.values()))
        for live in wave:
            if live.ticket and keys.get(live.key) in found:
                answer = found[keys[live.key]]
                self.log.add(Entry(live.key, role, live.ticket, answer, cached=True))
        self.log.flush()

    def _receive(self, states: Mapping[str, _Progress]) -> None:
        """Take in one arrival; while there is none, what came is made durable."""
        if self.arrivals.empty():
            self.log.flush()
        arrival = self.arrivals.get()
        if isinstance(arrival, Failed):
            self.log.flush()
            raise arrival.error
        if isinstance(arrival, BatchDone):
            self.log.flush()
            return
        live: Live = arrival.live
        state = states[live.task.name]
        if isinstance(arrival.answer, Fault):
            fault = arrival.answer
            self._finish(live, state, Score.unscored(fault.reason, fault=fault.detail[:500]))
            return
        known = self.log.find(live.key)
        answer = known[0] if known else arrival.answer
        assert live.ticket is not None
        entry = Entry(live.key, live.role, live.ticket, answer, cached=arrival.cached)
        self.log.add(entry)
        self.entries.append(entry)
        if isinstance(answer, Generation) and live.role == "candidate":
            live.said = answer
        self._advance(live, state, answer)

    def _worker(self, backend: Backend) -> Worker:
        worker = self.workers.get(id(backend))
        if worker is None:
            worker = self.workers[id(backend)] = Worker(backend, self.arrivals)
        return worker

    def _shut_down(self) -> None:
        for worker in self.workers.values():
            worker.close()
        self.log.flush()


def _explained(score: object, said: Generation | None) -> Score:
    """Name the model's fault where the grader gave 0 without saying why."""
    if not isinstance(score, Score):
        return Score.unscored("scorer_error", error=f"the grader returned {type(score).__name__}")
    if score.value != 0.0 or score.reason or said is None:
        return score
    reason = "empty" if not said.text.strip() else "truncated" if said.truncated else "wrong"
    return Score(0.0, reason, score.extracted, score.metrics, score.detail)
