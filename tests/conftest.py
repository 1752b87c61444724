"""Fixtures for every test: the pocket base and judge, trained once a machine and kept in the cache."""

import sys
from pathlib import Path

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.suites.pocket.base import base_checkpoint
from waterbed.suites.pocket.judge import judge_checkpoint

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
