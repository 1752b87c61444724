"""Functions on offer reach the pocket base through `vllm serve`, and its calls come back in the body as read here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from asking import ask, first_requests

from waterbed.harness.api import evaluate
from waterbed.harness.backends.openai import OpenAIBackend
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.backends.vllm import VLLMBackend
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import Generation

TASK = "pocket/tools-native"


def calls(answer: Any) -> list[tuple[str, Any]]:
    """Name and arguments of each call; the server writes JSON with other blanks, and ids of its own."""
    assert isinstance(answer, Generation)
    return [(call.name, json.loads(call.arguments)) for call in answer.calls]


def test_a_servers_parser_and_ours_read_the_same_calls(
    http_backend: OpenAIBackend,
    vllm_backend: VLLMBackend,
    transformers_backend: TransformersBackend,
) -> None:
    asked = first_requests(48, [TASK])
    assert all(request.tools for request, _ in asked)
    ours = ask(transformers_backend, asked)
    assert sum(len(calls(answer)) for answer in ours) > 24
    assert ask(vllm_backend, asked) == ours
    served = ask(http_backend, asked)
    assert [calls(answer) for answer in served] == [calls(answer) for answer in ours]
    assert [a.completion_tokens for a in served] == [a.completion_tokens for a in ours]
    called = [answer for answer in served if answer.calls]
    assert all(call.id for answer in called for call in answer.calls)
    assert [a.text for a in served if not a.calls] == [a.text for a in ours if not a.calls]


def test_a_run_with_native_tools_over_http_has_the_same_scores(
    http_backend: OpenAIBackend,
    transformers_backend: TransformersBackend,
    pocket_base: Checkpoint,
    tmp_path: Path,
) -> None:
    found = []
    for name, backend in (("served", http_backend), ("here", transformers_backend)):
        run = evaluate(pocket_base, [TASK], tmp_path / name, backend=backend, limit=40)
        scores = run.scores()[["sample_id", "metric", "value"]]
        found.append(list(scores.itertuples(index=False, name=None)))
    assert found[0] == found[1]
    assert 0 < sum(value for *_, value in found[0]) < len(found[0])
