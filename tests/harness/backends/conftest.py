"""Checkpoints and backends that several files ask; the helpers are in tiny_llama.py beside this."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny_llama import TEMPLATE, save

from waterbed.harness.backends.transformers import TransformersBackend


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATERBED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint without chat template."""
    return save(tmp_path_factory.mktemp("plain") / "model")


@pytest.fixture(scope="session")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with chat template, whose tokenizer puts <s> before raw text."""
    return save(tmp_path_factory.mktemp("chatty") / "model", template=TEMPLATE, bos=True)


@pytest.fixture(scope="session")
def backend(plain: Path) -> TransformersBackend:
    """One backend for all tests that only ask it."""
    return TransformersBackend(plain, threads=1, batch_size=8)
