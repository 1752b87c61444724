"""The tables of a finished Run: scores, generations, results.

Rows are sorted and types fixed, so that equal scores give equal bytes. Not here: reading them back
(run.py) or testing them (statistics/).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import judge_report
from .journal import Entry
from .records import Choice, Generation, Sample, Score, canonical_json, clean_text
from .runner import Outcome, ScoreKey
from .sampling import Attempt, Sampling, figures, mean_and_error
from .tasks import Task

if TYPE_CHECKING:
    import pyarrow as pa


#: Stands for every text of a task whose items must not be shown.
WITHHELD = "(withheld: the items of this task must not be shown)"
_TEXTS = ("prompt", "text", "thinking", "calls")
#: Answers that are turned into rows at once.
PART = 1000


def metric_rows(task: Task, sample: Sample, score: Score) -> list[tuple[str, float | None]]:
    """(metric, value) pairs of one score; an unscored sample has None for what it counts for."""
    headline = task.metrics[0].name
    if score.scored:
        extra = [(k, float(v)) for k, v in score.metrics.items() if k != headline]
        return [(headline, score.value), *sorted(extra)]
    wanted = sample.metrics or tuple(m.name for m in task.metrics if m.gated)
    names = {headline, *wanted}
    return [(name, None) for name in sorted(names)]


def scores_table(tasks: Sequence[Task], scores: Mapping[ScoreKey, Score]) -> pa.Table:
    """One row per (task, sample_id, repeat, metric), sorted."""
    import pyarrow as pa

    by_name = {t.name: t for t in tasks}
    samples = {(t.name, s.id): s for t in tasks for s in t.items}
    rows = []
    for (name, sample_id, repeat), score in scores.items():
        detail = clean_text(canonical_json(dict(score.detail))) if score.detail else None
        extracted = None if score.extracted is None else clean_text(score.extracted)
        sample = samples[(name, sample_id)]
        rest = (score.reason, extracted, detail, sample.cluster)
        for metric, value in metric_rows(by_name[name], sample, score):
            rows.append((name, sample_id, repeat, metric, value, *rest))
    rows.sort(key=lambda row: row[:4])
    columns = list(zip(*rows, strict=True)) if rows else [()] * 9
    schema = pa.schema(
        [
            ("task", pa.string()),
            ("sample_id", pa.string()),
            ("repeat", pa.int32()),
            ("metric", pa.string()),
            ("value", pa.float64()),
            ("reason", pa.string()),
            ("extracted", pa.string()),
            ("detail", pa.string()),
            ("cluster", pa.string()),
        ]
    )
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema)


def generations_tables(
    entries: Iterable[Entry], private: Container[str] = ()
) -> Iterator[pa.Table]:
    """One row per answer of a model, sorted by place; of `private` tasks without any text.

    In parts, one at least: each prompt of a long conversation holds all that was said before, so that
    a table of all of them would need several times the memory of the conversations.
    """
    import pyarrow as pa

    said = [e for e in entries if isinstance(e.answer, Generation | Choice)]
    said.sort(key=lambda e: (e.ticket.task, e.ticket.sample_id, e.ticket.repeat, e.ticket.ordinal))
    schema = pa.schema(
        [
            ("task", pa.string()),
            ("sample_id", pa.string()),
            ("repeat", pa.int32()),
            ("ordinal", pa.int32()),
            ("role", pa.string()),
            ("text", pa.string()),
            ("thinking", pa.string()),
            ("calls", pa.string()),
            ("stop_reason", pa.string()),
            ("prompt_tokens", pa.int32()),
            ("completion_tokens", pa.int32()),
            ("latency_s", pa.float64()),
            ("prompt_hash", pa.string()),
            ("prompt", pa.string()),
        ]
    )
    for start in range(0, len(said), PART) or [0]:
        rows = [_generation_row(entry, private) for entry in said[start : start + PART]]
        yield pa.Table.from_pylist(rows, schema)


def _calls(answer: Generation) -> str | None:
    """The calls as JSON in the form of OpenAI's chat API; None where there are none."""
    shown = [call.as_dict() for call in answer.calls]
    return clean_text(canonical_json(shown)) if shown else None


def _generation_row(entry: Entry, private: Container[str]) -> dict[str, Any]:
    ticket, answer = entry.ticket, entry.answer
    row: dict[str, Any] = {
        "task": ticket.task,
        "sample_id": ticket.sample_id,
        "repeat": ticket.repeat,
        "ordinal": ticket.ordinal,
        "role": entry.role,
        "prompt": clean_text(ticket.rendered),
        "prompt_hash": text_hash(ticket.rendered),
    }
    if isinstance(answer, Generation):
        row |= {
            "text": clean_text(answer.text),
            "thinking": None if answer.thinking is None else clean_text(answer.thinking),
            "calls": _calls(answer),
            "stop_reason": answer.stop_reason,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "latency_s": answer.latency_s,
        }
    elif isinstance(answer, Choice):
        row |= {"text": canonical_json(list(answer.logprobs)), "stop_reason": "choice"}
    if ticket.task in private:
        row |= {name: WITHHELD for name in _TEXTS if row.get(name)}
    return row


def text_hash(text: str) -> str:
    """First 16 hex digits of the text's sha256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def prompt_hash(prompts: Mapping[ScoreKey, str], task: str) -> str:
    """Hash of every first prompt of a task, whatever the order."""
    places = sorted(f"{k[1]}|{k[2]}|{text_hash(p)}" for k, p in prompts.items() if k[0] == task)
    return text_hash("\n".join(places))


def results(
    tasks: Sequence[Task],
    outcome: Outcome,
    sampling: Sampling = Sampling(),
    ranks: Mapping[ScoreKey, Score] | None = None,
) -> dict[str, Any]:
    """Every metric of every task with n, mean, standard error and unscored counts by reason.

    Args:
        ranks: what the scorer of `sampling` says of the answers.
    """
    spent: dict[ScoreKey, _Spent] = {}
    for entry in outcome.entries:
        if isinstance(entry.answer, Generation):
            at = entry.ticket
            spent.setdefault((at.task, at.sample_id, at.repeat), _Spent()).add(entry.answer)
    places: dict[str, list[ScoreKey]] = {t.name: [] for t in tasks}
    for key in sorted(outcome.scores):
        places[key[0]].append(key)
    found = {}
    for task in tasks:
        items: dict[str, list[Attempt]] = {}
        for key in places[task.name]:
            tokens = spent.get(key, _Spent()).completion_tokens
            attempt = Attempt(outcome.scores[key], tokens, (ranks or {}).get(key))
            items.setdefault(key[1], []).append(attempt)
        total = sum((spent.get(key, _Spent()) for key in places[task.name]), _Spent())
        found[task.name] = _task_results(task, items, total, sampling)
    return found


@dataclass(slots=True)
class _Spent:
    """What answers took."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    thinking_closed: int = 0

    def add(self, answer: Generation) -> None:
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens
        self.thinking_closed += answer.thinking_closed

    def __add__(self, other: _Spent) -> _Spent:
        return _Spent(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.thinking_closed + other.thinking_closed,
        )


def _task_results(
    task: Task, items: Mapping[str, Sequence[Attempt]], spent: _Spent, sampling: Sampling
) -> dict[str, Any]:
    scores = [(name, a.score) for name, own in items.items() for a in own]
    scored = {
        name: kept
        for name, own in items.items()
        if (kept := [a.score for a in own if a.score.scored])
    }
    reasons = Counter(s.reason for _, s in scores if s.scored and s.reason)
    several = figures(task, items, sampling)
    judged = {"judge": judge_report.report(task.judging, [s for _, s in scores])}
    return {
        **(judged if task.judging else {}),
        "metrics": _metrics(task, scores),
        "notes": dict(sorted(reasons.items())),
        "extra": dict(task.aggregate(scored)) if scored else {},
        "cost": _cost(scored, spent, several),
        "sampling": {key: value for key, value in several.items() if key != "per_solved"},
    }


def _metrics(task: Task, scores: Sequence[tuple[str, Score]]) -> dict[str, Any]:
    """Means over answers; answers to one item, and items of one cluster, are one unit of error."""
    samples = {s.id: s for s in task.items}
    values: dict[str, list[tuple[float, str]]] = {}
    unscored: dict[str, Counter[str]] = {}
    for name, score in scores:
        sample = samples[name]
        for metric, value in metric_rows(task, sample, score):
            seen = values.setdefault(metric, [])
            if value is None:
                unscored.setdefault(metric, Counter())[score.reason or "unknown"] += 1
            else:
                seen.append((value, sample.cluster or name))
    return {
        metric: {
            **mean_and_error([v for v, _ in seen], [c for _, c in seen]),
            "unscored": dict(unscored.get(metric, {})),
        }
        for metric, seen in sorted(values.items())
    }


def _cost(
    scored: Mapping[str, Sequence[Score]], spent: _Spent, several: Mapping[str, Any]
) -> dict[str, Any]:
    """Tokens, and completion tokens per item that some answer solved; None where none was counted."""
    solved = sum(any(s.value == 1.0 for s in own) for own in scored.values())
    tokens = spent.completion_tokens
    cost: dict[str, Any] = {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": tokens,
        "per_solved": tokens / solved if tokens and solved else None,
    }
    if spent.thinking_closed:
        cost["thinking_closed"] = spent.thinking_closed
    if several:
        cost["per_solved_by"] = several["per_solved"]
    return cost
