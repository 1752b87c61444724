"""The three verbs: evaluate a checkpoint, score recorded answers, gate two Runs.

The command line is a thin coat over these. They print nothing; progress goes to a callback.
"""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import contamination, manifest, tables
from .answer_cache import AnswerCache
from .backends.thinking import no_thinking
from .checkpoints import Checkpoint
from .cost import Price, by_role, money
from .errors import DataError, Interrupted, UnknownName, UsageError
from .records import Generation, Role
from .roles import known_checkpoint, open_roles, served, shareable
from .run import Run, RunWriter, previous
from .runner import Outcome, Progress, Runner, Stop, TaskPlan, hash_order, nobody
from .sampling import Sampling, rank
from .tasks import Task, resolve

if TYPE_CHECKING:
    from .backends.base import Backend
    from .policy import Policy
    from .verdict import Verdict


def evaluate(
    checkpoint: str | Path | Checkpoint,
    suites: Sequence[str],
    out: str | Path,
    *,
    backend: str | Backend = "transformers",
    options: Mapping[str, Any] | None = None,
    judges: Mapping[Role, Backend | str | Path] | None = None,
    prices: Mapping[Role, Price] | None = None,
    limit: int | None = None,
    samples: int | Sampling | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    order_seed: int | None = None,
    looks: Mapping[str, Sequence[int]] | None = None,
    stop: Stop | None = None,
    cache: bool = True,
    fresh: bool = False,
    label: str | None = None,
    labels: Mapping[str, str] | None = None,
    check: Callable[[Mapping[str, Any]], None] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run suites on a checkpoint into a Run directory, or resume the one that is there.

    Args:
        checkpoint: folder with config.json and safetensors, or with `openai` a served model's name.
        suites: task names, group names or `file.py` paths.
        backend: `transformers`, `vllm`, `openai`, or a Backend object for this checkpoint, which stays open.
        options: passed to the backend (device, dtype, batch_size, threads ...).
        judges: who answers in the other roles (judge, user, sandbox): backends, or what roles.py reads.
        prices: of a million tokens by role, the candidate among them; run.json then says what was spent.
        limit: only the first so many items of each task, in hash order.
        samples: answers an item, or a Sampling that also says what is made of them; default is the
            task's own number. A task that decodes greedily is then sampled (sampling.py).
        settings: decoding settings that replace the tasks' own: max_tokens, temperature, top_p, stop,
            thinking_budget.
        order_seed: of the order of the items (and so of what `limit` leaves), where it is not `seed`.
        looks, stop: see runner.TaskPlan and runner.Runner.
        cache: share greedy answers with other Runs (never those of a Backend object, nor of a server
            whose weights are not known).
        fresh: discard what is there.
        check: told what run.json will say before anything is asked; it may refuse by raising.

    Raises:
        UsageError, DataError, InstrumentError: see errors.py; what was answered is kept.
    """
    sampling = samples if isinstance(samples, Sampling) else Sampling(samples)
    tasks = tuple(sampling.decoded(t, settings or {}) for t in resolve(suites))
    order = seed if order_seed is None else order_seed
    plans = [
        _plan(t, limit, sampling.answers(t), order, (looks or {}).get(t.name, ())) for t in tasks
    ]
    given = known_checkpoint(checkpoint, backend)
    name = given.path.name if given else str(checkpoint)
    begun = (None if fresh else previous(Path(out))) or {}
    with contextlib.ExitStack() as opened:
        backends = _other_roles(tasks, judges or {}, opened, begun.get("roles", {}))
        kept = _kept_options(begun.get("backend", {}), options or {})
        engine = _engine(backend, given, name, kept)
        if engine is not backend:  # what the caller opened is the caller's to close
            opened.callback(engine.close)
        _check_budgets(tasks, engine, name)
        backends["candidate"] = engine
        entry = manifest.build(
            kind="eval",
            label=label or name,
            plans=plans,
            backends=backends,
            checkpoint=given,
            seed=seed,
            selection={"suites": list(suites), "limit": limit},
            labels=labels,
        )
        entry |= {"sampling": sampling.as_dict(), "contamination": _seen(given, plans)}
        if check:
            check(entry)
        shared = AnswerCache(roles=shareable(backend, given, judges or {})) if cache else None
        with RunWriter(Path(out), entry, fresh=fresh) as writer:
            return _run(writer, plans, backends, shared, seed, stop, progress, sampling, prices)


def score(
    suite: str,
    responses: str | Path,
    out: str | Path,
    *,
    items: str | Path | None = None,
    judges: Mapping[Role, Backend | str | Path] | None = None,
    prices: Mapping[Role, Price] | None = None,
    limit: int | None = None,
    fresh: bool = True,
    label: str | None = None,
    progress: Progress | None = None,
) -> Run:
    """Score answers that exist already, without a model.

    Args:
        suite: one task name.
        responses: JSONL of `{id, response, repeat?}`, (id, repeat) unique.
        items: problems in the suite's own format, instead of its official ones.
        limit: only the first so many items in hash order; responses to others are passed over.

    Raises:
        DataError: malformed or duplicate rows, or ids the suite does not have.
    """
    from .backends.replay import ReplayBackend

    tasks = resolve([suite])
    if len(tasks) != 1:
        raise UsageError(f"'{suite}' names {len(tasks)} tasks; score one of them at a time.")
    task = tasks[0] if items is None else tasks[0].on(Path(items))
    tasks = (task,)
    if task.multi_turn:
        raise UsageError(
            f"Task '{task.name}' is multi-turn; recorded single answers cannot score it."
        )
    backend = ReplayBackend(Path(responses))
    _refuse_unknown_ids(task, backend.ids, responses)
    plans = [_plan(task, limit, backend.repeats, 0, ())]
    with contextlib.ExitStack() as opened:
        backends = _other_roles(tasks, judges or {}, opened)
        backends["candidate"] = backend
        entry = manifest.build(
            kind="score",
            label=label or Path(responses).stem,
            plans=plans,
            backends=backends,
            checkpoint=None,
            seed=0,
            selection={"suites": [suite], "limit": limit},
        )
        with RunWriter(Path(out), entry, fresh=fresh) as writer:
            return _run(writer, plans, backends, None, 0, None, progress, prices=prices)


def gate(
    baseline: str | Path | Run,
    candidate: str | Path | Run,
    policy: str | Path | Policy | None = None,
    target: str | None = None,
    suites: Sequence[str] | None = None,
    anchor: str | Path | Run | None = None,
) -> Verdict:
    """Compare two Runs item by item and decide.

    Args:
        policy: a name, a YAML file, or a Policy; None is `harm`.
        target: the domain the candidate was meant to improve.
        suites: what to compare; None means the policy's, else all that either Run has.
        anchor: a Run kept for good, below which nothing may fall by 1.5 margins; default: the policy's.

    Raises:
        IncomparableRuns: they were not made the same way.
        UsageError: a path is no Run, or the policy does not validate.
    """
    from .gate import gate_runs
    from .policy import Policy

    rules = policy if isinstance(policy, Policy) else Policy.load(policy)
    sides = [r if isinstance(r, Run) else Run.open(r) for r in (baseline, candidate)]
    wanted = suites or rules.suites or None
    kept = anchor or rules.anchor
    fixed = kept if isinstance(kept, Run) else Run.open(kept) if kept else None
    old, new = sides
    return gate_runs(old, new, rules, target=target, suites=wanted, anchor=fixed)


def make_backend(
    backend: str | Backend, checkpoint: Checkpoint, options: Mapping[str, Any]
) -> Backend:
    """The backend that serves a checkpoint.

    Raises:
        UnknownName: no backend of that name.
    """
    if not isinstance(backend, str):
        return backend
    if backend == "transformers":
        from .backends.transformers import TransformersBackend

        return TransformersBackend(checkpoint, **options)
    if backend == "vllm":
        from .backends.vllm import VLLMBackend

        return VLLMBackend(checkpoint, **_accepted(VLLMBackend, options))
    raise UnknownName.of("backend", backend, ["transformers", "vllm", "openai"])


def _engine(
    backend: str | Backend, given: Checkpoint | None, name: str, options: Mapping[str, Any]
) -> Backend:
    """Who answers as the candidate: a server where only that knows the name, else `make_backend`."""
    if given is None or backend == "openai":
        return served(str(given.path) if given else name, given, options)
    return make_backend(backend, given, options)


def _seen(given: Checkpoint | None, plans: Sequence[TaskPlan]) -> Mapping[str, Any]:
    """What is known of items in the candidate's training text."""
    return contamination.of_checkpoint(given.path, plans) if given else {"status": "unknown"}


def _accepted(kind: type[Backend], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, all of which this backend must know.

    Raises:
        UnknownName: it does not know one.
    """
    known = [name for name in inspect.signature(kind).parameters if name != "checkpoint"]
    for name in options:
        if name not in known:
            raise UnknownName.of(f"option of {kind.__name__}", name, known)
    return options


def _other_roles(
    tasks: Sequence[Task],
    given: Mapping[Role, Backend | str | Path],
    opened: contextlib.ExitStack,
    begun: Mapping[str, Any] = {},
) -> dict[Role, Backend]:
    """The backends besides the candidate's; a sandbox is opened where a task needs one.

    Raises:
        UsageError: nobody plays a role that a task needs, before the candidate is asked anything.
        NoSandbox: programs are to be run and no isolation level works here.
    """
    for task in tasks:
        for role in task.roles:
            if role not in given and role not in ("candidate", "sandbox"):
                raise nobody(task, role)
    others = open_roles(given, begun, opened)
    if "sandbox" not in others and any("sandbox" in t.roles for t in tasks):
        from .backends.sandbox import SandboxBackend

        others["sandbox"] = sandbox = SandboxBackend()
        opened.callback(sandbox.close)
    return others


def _kept_options(begun: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A resumed Run keeps the batch size and threads it was begun with, unless told otherwise."""
    kept = {k: begun[k] for k in ("batch_size", "threads") if k in begun}
    return {**kept, **{k: v for k, v in options.items() if v is not None}}


def _plan(task: Task, limit: int | None, repeats: int, seed: int, looks: Sequence[int]) -> TaskPlan:
    if limit is not None and limit < 1:
        raise UsageError(
            f"--limit must be at least 1, got {limit}; an empty evaluation says nothing."
        )
    items = hash_order(task, task.items, seed)[:limit]
    return TaskPlan(task, items, repeats, tuple(looks))


def _check_budgets(tasks: Sequence[Task], engine: Backend, checkpoint: str) -> None:
    """Refuse a thinking budget where nobody could keep it.

    Raises:
        UsageError: a completion task, or a model or backend without thinking markers.
    """
    for task in tasks:
        if task.settings.thinking_budget is None:
            continue
        if task.style != "chat":
            raise UsageError(
                f"Task '{task.name}' asks without a chat template, so a thinking budget means nothing; "
                "leave out --thinking-budget, or choose chat tasks."
            )
        if not hasattr(engine, "thinking_end"):
            raise UsageError(
                f"The backend '{engine.describe()['name']}' cannot end a model's thinking; leave out "
                "--thinking-budget, or use --backend transformers."
            )
        if engine.thinking_end is None:
            raise no_thinking(checkpoint)


def _refuse_unknown_ids(task: Task, ids: frozenset[str], responses: str | Path) -> None:
    unknown = sorted(ids - {s.id for s in task.items})
    if unknown:
        raise DataError(
            f"{responses}: {len(unknown)} ids are not in '{task.name}' (first: {unknown[0]!r}; the task "
            f"has ids like {task.items[0].id!r}); use the task's ids."
        )


def _run(
    writer: RunWriter,
    plans: Sequence[TaskPlan],
    backends: Mapping[Role, Backend],
    cache: AnswerCache | None,
    seed: int,
    stop: Stop | None,
    progress: Progress | None,
    sampling: Sampling = Sampling(),
    prices: Mapping[Role, Price] | None = None,
) -> Run:
    began = time.monotonic()
    runner = Runner(
        backends, log=writer.journal, cache=cache, seed=seed, stop=stop, progress=progress
    )
    try:
        outcome = runner.run(plans)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"Stopped with {runner.done} of {runner.total} samples scored; everything answered is kept in "
            f"'{writer.path}', and the same command resumes it."
        ) from error
    tasks = [p.task for p in plans]
    ranks = {k: s for t in tasks for k, s in rank(t, sampling, outcome, backends).items()}
    writer.write_json("results.json", tables.results(tasks, outcome, sampling, ranks))
    finished = writer.finish(
        "stopped" if outcome.stopped else "complete",
        {
            "scores.parquet": tables.scores_table(tasks, outcome.scores),
            "generations.parquet": tables.generations_tables(
                outcome.entries, private={t.name for t in tasks if t.card.private}
            ),
        },
        tasks=_with_prompt_hashes(writer.manifest["tasks"], outcome),
        cost=_cost(outcome, time.monotonic() - began, writer.manifest["cost"], prices or {}),
    )
    if cache is not None:
        runner.share_answers()
    return finished


def _with_prompt_hashes(entries: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    return {
        name: {**entry, "prompt_hash": tables.prompt_hash(outcome.prompts, name)}
        for name, entry in entries.items()
    }


def _cost(
    outcome: Outcome, wall_s: float, before: Mapping[str, Any], prices: Mapping[Role, Price]
) -> dict[str, Any]:
    """Tokens of every answer used, wall seconds of all sittings that finished, and money."""
    spent = money(outcome.entries, outcome.scores, prices)
    said = [e.answer for e in outcome.entries if isinstance(e.answer, Generation)]
    return {
        "wall_s": round(before.get("wall_s", 0.0) + wall_s, 3),
        "prompt_tokens": sum(g.prompt_tokens for g in said),
        "completion_tokens": sum(g.completion_tokens for g in said),
        "cached_answers": sum(e.cached for e in outcome.entries),
        "roles": by_role(outcome.entries),
        **({"money": spent} if spent else {}),
    }
