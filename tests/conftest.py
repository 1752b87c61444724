"""Fixtures for every test: the pocket base and judge, kept in the cache; a sandbox; hostile items."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from waterbed.harness.backends.sandbox import SandboxBackend
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import NoSandbox
from waterbed.suites.pocket.base import base_checkpoint
from waterbed.suites.pocket.judge import judge_checkpoint

if TYPE_CHECKING:
    from hostile_answers import Items

# What tests and benchmarks simulate alike lies beside the benchmarks, which run as scripts; what a study is
# made of lies beside the study.
sys.path[:0] = [str(Path(__file__).with_name(folder)) for folder in ("bench", "study")]


@pytest.fixture(scope="session")
def pocket_judge() -> Checkpoint:
    """The pocket judge: about 60 CPU-seconds the first time, nothing after."""
    return judge_checkpoint()


@pytest.fixture(scope="session")
def pocket_base() -> Checkpoint:
    """The pocket base model: about 80 CPU-seconds the first time, nothing after."""
    return base_checkpoint()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxBackend]:
    """A sandbox of the best level that works here; without one the tests skip and say why."""
    try:
        opened = SandboxBackend()
    except NoSandbox as error:
        pytest.skip(str(error))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def hostile_items(tmp_path_factory: pytest.TempPathFactory) -> Items:
    """One item of every benchmark, for hostile answers."""
    from hostile_answers import Items

    return Items(tmp_path_factory.mktemp)
