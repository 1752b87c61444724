"""Thousands of conversations at once: seconds and memory of the runner, without any model's time.

Every conversation of tau-bench's airline is held by a scripted agent and customer (tau_agents.py), all of
them alive together. Memory is the growth of the process over an empty runner.

    WATERBED_DATA=... python bench_conversations.py [2000]
"""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter

import tau_agents

from waterbed.harness.runner import Runner, TaskPlan
from waterbed.harness.tasks import tasks


def peak_mb() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(conversations: int) -> None:
    """Hold so many conversations and print what they took."""
    task = tasks.get("tau-bench/airline")
    repeats = -(-conversations // len(task.items))
    backends = {"candidate": tau_agents.agent([task]), "user": tau_agents.customer([task])}
    task.body.domain.after(task.items[0].target["actions"])
    before, began = peak_mb(), time.perf_counter()
    outcome = Runner(backends).run([TaskPlan(task, task.items, repeats)])  # type: ignore[arg-type]
    took, answers = time.perf_counter() - began, len(outcome.entries)
    won = Counter(score.value for score in outcome.scores.values())
    print(
        f"{len(outcome.scores)} conversations at once, {answers} answers, rewards {dict(won)}: "
        f"{took:.1f} s ({answers / took:.0f} answers/s), {peak_mb() - before:.0f} MB "
        f"({(peak_mb() - before) * 1024 / len(outcome.scores):.0f} kB each)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
