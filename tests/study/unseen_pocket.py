"""The seven pocket tasks on items that no gate reads: the first thousand of the dev split each.

Named by its path (`evaluate(..., suites=["unseen_pocket.py"])`), so that only who asks registers them. A
toy world for a toy model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from waterbed.harness.records import Sample
from waterbed.harness.tasks import tasks
from waterbed.suites.pocket.domains import POCKET
from waterbed.suites.pocket.tasks import ITEMS, samples


def _unseen(domain: str) -> None:
    known = tasks.get(f"pocket/{domain}")
    body: Any = known.factory

    class Unseen(body):  # type: ignore[misc]
        """The same question, prompt and grading; other items."""

        def samples(self) -> Iterable[Sample]:
            return samples(domain, ITEMS, split="dev")

    name = f"unseen/{domain}"
    tasks.add(name, replace(known, name=name, groups=(), factory=Unseen))


for _domain in POCKET:
    _unseen(_domain)
