"""Without vLLM the backend says how to get it; with it, the real tests are in tests/vllm."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from waterbed.harness.api import make_backend
from waterbed.harness.checkpoints import open_checkpoint
from waterbed.harness.errors import BackendError, UnknownName, UsageError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here"
)


def test_a_missing_vllm_is_said_in_one_sentence_with_the_traps(chatty: Path) -> None:
    with pytest.raises(BackendError, match=r"pip install waterbed\[vllm\].*uninstall torchvision"):
        make_backend("vllm", open_checkpoint(chatty), {})


def test_settings_that_mean_nothing_are_refused_before_anything_is_loaded(chatty: Path) -> None:
    opened = open_checkpoint(chatty)
    with pytest.raises(UsageError, match="tensor_parallel must be at least 1, got 0"):
        make_backend("vllm", opened, {"tensor_parallel": 0})
    with pytest.raises(UsageError, match="no dtype 'float8'"):
        make_backend("vllm", opened, {"dtype": "float8"})
    with pytest.raises(UnknownName, match="option of VLLMBackend 'dtyp'; did you mean 'dtype'"):
        make_backend("vllm", opened, {"dtyp": "auto"})
