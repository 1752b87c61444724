"""Whether two Runs asked the same, prompt by prompt, where one of them was stopped early.

A task's own hash covers all its prompts and says nothing about a part of them; the hashes of the
single prompts, kept beside the answers, do. Not here: everything else that must agree (comparability.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from .comparability import Differences, RunLike
from .run import Run

_ANSWER = ["task", "sample_id", "repeat"]


def with_prompts(
    found: Differences, baseline: RunLike, candidate: RunLike, tasks: Iterable[str]
) -> Differences:
    """The differences, and the tasks whose first prompts differ on the items both sides ran.

    Raises:
        DataError: the answers of a Run cannot be read.
    """
    if not (isinstance(baseline, Run) and isinstance(candidate, Run)):
        return found
    kinds = {run.manifest.get("kind") for run in (baseline, candidate)}
    if "score" in kinds or baseline.status == candidate.status == "complete":
        return found
    return replace(found, refusals=(*found.refusals, *_changed(baseline, candidate, set(tasks))))


def _changed(baseline: Run, candidate: Run, tasks: set[str]) -> Iterator[str]:
    columns = [*_ANSWER, "prompt_hash"]
    frames = []
    for run in (baseline, candidate):
        said = run.generations()
        first = (said["ordinal"] == 0) & said["task"].isin(tasks)
        frames.append(said.loc[first, columns])
    both = frames[0].merge(frames[1], on=_ANSWER, suffixes=("_b", "_c"))
    both["differs"] = both["prompt_hash_b"] != both["prompt_hash_c"]
    for task, rows in both.groupby("task", sort=True, observed=True):
        if rows["differs"].any():
            yield f"{task}.prompts: {int(rows['differs'].sum())} of {len(rows)} common ones differ"
