"""Runs made with vLLM gate against Runs made with transformers, and their difference is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.api import evaluate, gate
from waterbed.harness.backends.openai import OpenAIBackend
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.backends.vllm import VLLMBackend
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import IncomparableRuns
from waterbed.harness.policy import Policy
from waterbed.harness.run import Run

SUITES = ["pocket/math", "pocket/instruction", "pocket/chat"]
LIMIT = 40


@pytest.fixture(scope="module")
def baseline(
    pocket_base: Checkpoint, transformers_backend: TransformersBackend, tmp_path_factory: Any
) -> Run:
    out = tmp_path_factory.mktemp("runs") / "transformers"
    return evaluate(pocket_base, SUITES, out, backend=transformers_backend, limit=LIMIT)


def values(run: Run) -> list[tuple[Any, ...]]:
    scores = run.scores()
    return list(scores[["task", "sample_id", "repeat", "metric", "value"]].itertuples(index=False))


def test_a_run_with_vllm_has_the_same_scores_and_gates_with_the_engine_named(
    vllm_backend: VLLMBackend, baseline: Run, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    run = evaluate(pocket_base, SUITES, tmp_path / "run", backend=vllm_backend, limit=LIMIT)
    assert values(run) == values(baseline)
    verdict = gate(baseline, run)
    assert {d.delta for d in verdict.domains.values()} == {0.0}
    assert verdict.outcome != "fail"
    assert any("backend.name: transformers -> vllm" in told for told in verdict.differences)


def test_a_run_over_http_has_the_same_scores_but_its_prompts_are_the_servers_own(
    http_backend: OpenAIBackend, baseline: Run, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    run = evaluate(pocket_base, SUITES, tmp_path / "run", backend=http_backend, limit=LIMIT)
    assert values(run) == values(baseline)
    with pytest.raises(IncomparableRuns, match="prompt_hash"):  # who knows its template?
        gate(baseline, run)
    verdict = gate(baseline, run, Policy.load(None).model_copy(update={"on_difference": "warn"}))
    assert {d.delta for d in verdict.domains.values()} == {0.0}


def test_the_command_line_evaluates_with_vllm_and_resumes(
    pocket_base: Checkpoint, baseline: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "waterbed", "eval", str(pocket_base.path), "--no-cache"]
    command += ["--suites", ",".join(SUITES), "--limit", str(LIMIT), "--out", str(out)]
    command += ["--backend", "vllm", "--batch-size", "32"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    run = Run.open(out)
    assert run.manifest["backend"]["batch_size"] == 32
    assert values(run) == values(baseline)
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert len(rows) == len({row["key"] for row in rows}) == LIMIT * len(SUITES)
