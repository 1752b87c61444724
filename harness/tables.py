"""The tables of a finished Run: scores, generations, results.

Rows are sorted and types fixed, so that equal scores give equal bytes. Not here: reading them back
(run.py) or testing them (statistics/).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .journal import Entry
from .records import Choice, Generation, Sample, Score, canonical_json
from .runner import Outcome, ScoreKey
from .tasks import Task

if TYPE_CHECKING:
    import pyarrow as pa


#: Stands for every text of a task whose items must not be shown.
WITHHELD = "(withheld: the items of this task must not be shown)"


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


def generations_table(entries: Iterable[Entry], private: Container[str] = ()) -> pa.Table:
    """One row per answer of a model, sorted by place; of `private` tasks without any text."""
    import pyarrow as pa

    rows = [_generation_row(e) for e in entries if isinstance(e.answer, Generation | Choice)]
    for row in rows:
        if row["task"] in private:
            row |= {
                name: WITHHELD for name in ("prompt", "text", "thinking", "calls") if row.get(name)
            }
    rows.sort(key=lambda row: (row["task"], row["sample_id"], row["repeat"], row["ordinal"]))
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
    return pa.Table.from_pylist(rows, schema)


def _calls(answer: Generation) -> str | None:
    """The calls as JSON in the form of OpenAI's chat API; None where there are none."""
    shown = [call.as_dict() for call in answer.calls]
    return clean_text(canonical_json(shown)) if shown else None


def _generation_row(entry: Entry) -> dict[str, Any]:
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
    return row


def text_hash(text: str) -> str:
    """First 16 hex digits of the text's sha256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def clean_text(text: str) -> str:
    """Text that any file can hold: lone surrogates become the replacement character."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def prompt_hash(prompts: Mapping[ScoreKey, str], task: str) -> str:
    """Hash of every first prompt of a task, whatever the order."""
    places = sorted(f"{k[1]}|{k[2]}|{text_hash(p)}" for k, p in prompts.items() if k[0] == task)
    return text_hash("\n".join(places))


def results(tasks: Sequence[Task], outcome: Outcome) -> dict[str, Any]:
    """Every metric of every task with n, mean, standard error and unscored counts by reason."""
    spent: Counter[str] = Counter()
    for entry in outcome.entries:
        if isinstance(entry.answer, Generation):
            spent[entry.ticket.task] += entry.answer.completion_tokens
    return {t.name: _task_results(t, outcome.scores, spent[t.name]) for t in tasks}


def _task_results(task: Task, all_scores: Mapping[ScoreKey, Score], tokens: int) -> dict[str, Any]:
    samples = {s.id: s for s in task.items}
    scores = {k: s for k, s in sorted(all_scores.items()) if k[0] == task.name}
    values: dict[str, list[float]] = {}
    unscored: dict[str, Counter[str]] = {}
    for key, score in scores.items():
        for metric, value in metric_rows(task, samples[key[1]], score):
            if value is None:
                unscored.setdefault(metric, Counter())[score.reason or "unknown"] += 1
                values.setdefault(metric, [])
            else:
                values.setdefault(metric, []).append(value)
    metrics: dict[str, Any] = {
        metric: {**mean_and_error(seen), "unscored": dict(unscored.get(metric, {}))}
        for metric, seen in sorted(values.items())
    }
    reasons = Counter(s.reason for s in scores.values() if s.scored and s.reason)
    scored: dict[str, list[Score]] = {}
    for key, score in scores.items():
        if score.scored:
            scored.setdefault(key[1], []).append(score)
    extra = dict(task.aggregate(scored)) if scored else {}
    solved = sum(any(s.value == 1.0 for s in own) for own in scored.values())
    cost = {"completion_tokens": tokens, "per_solved": tokens / solved if solved else None}
    notes = dict(sorted(reasons.items()))
    return {"metrics": metrics, "notes": notes, "extra": extra, "cost": cost}


def mean_and_error(values: Sequence[float]) -> dict[str, Any]:
    """Mean and its standard error sqrt(s^2 / n), s^2 with n - 1; None where there is no evidence."""
    n = len(values)
    if n == 0:
        return {"mean": None, "se": None, "n": 0}
    mean = math.fsum(values) / n
    if n == 1:
        return {"mean": mean, "se": None, "n": 1}
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1)
    return {"mean": mean, "se": math.sqrt(variance / n), "n": n}
