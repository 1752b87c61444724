"""Small Runs in memory as fixtures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from memory_runs import MemoryRun, make_pair, make_run


@pytest.fixture(scope="session")
def run() -> Callable[..., MemoryRun]:
    """`run(label, math=[...], safety={"unsafe": [...]})`."""
    return make_run


@pytest.fixture(scope="session")
def paired() -> Callable[..., tuple[list[float], list[float]]]:
    """`paired(n, right, lost, gained)`: two score lists."""
    return make_pair


@pytest.fixture(scope="session")
def runs() -> Callable[..., tuple[MemoryRun, MemoryRun]]:
    """`runs(math=(n, right, lost, gained), ...)`: a baseline and a candidate."""

    def both(**tasks: tuple[int, int, int, int]) -> tuple[MemoryRun, MemoryRun]:
        scores = {name: make_pair(*counts) for name, counts in tasks.items()}
        return (
            make_run("old", **{name: s[0] for name, s in scores.items()}),
            make_run("new", **{name: s[1] for name, s in scores.items()}),
        )

    return both
