"""Quantized checkpoints reload in vLLM and answer there as in transformers, as nearly as dense ones do.

vLLM and llm-compressor want different compressed-tensors and share no environment, so the checkpoints
are written by a process of its own, as users write them elsewhere. It finds llm-compressor in the folder
that WATERBED_LLM_COMPRESSOR names (`pip install --no-deps --target FOLDER llmcompressor
compressed-tensors`). Kernels for packed weights want bfloat16, whose own noise between two engines is
measured on the dense checkpoint first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from asking import ask, first_requests
from quantizing import STAGES
from safetensors.torch import load_file, save_file

from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.backends.vllm import VLLMBackend
from waterbed.harness.checkpoints import Checkpoint, open_checkpoint

ASKED = 48
#: More differing answers than between two engines on dense weights, of 4 x ASKED, that pass as noise.
SLACK = 6


@pytest.fixture(scope="module")
def dense(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The pocket base in bfloat16, as checkpoints are published."""
    folder = Path(shutil.copytree(pocket_base.path, tmp_path_factory.mktemp("dense") / "base"))
    weights = {k: v.bfloat16() for k, v in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return open_checkpoint(folder)


@pytest.fixture(scope="module")
def quantized(dense: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the checkpoints that quantizing.py writes."""
    tools = os.environ.get("WATERBED_LLM_COMPRESSOR")
    if not tools:
        pytest.skip("WATERBED_LLM_COMPRESSOR names no folder with llm-compressor")
    out = tmp_path_factory.mktemp("quantized")
    path = os.pathsep.join(filter(None, [tools, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(Path(__file__).with_name("quantizing.py"))]
    done = subprocess.run(
        [*command, str(dense.path), str(out)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def differing(checkpoint: Checkpoint) -> int:
    """Greedy answers of both engines that are not the same, of 4 x ASKED."""
    asked = first_requests(ASKED)
    settings = {"dtype": "bfloat16", "batch_size": 16}
    theirs = TransformersBackend(checkpoint, threads=1, **settings)
    ours = VLLMBackend(checkpoint, max_model_len=512, cache_gib=0.5, **settings)
    try:
        pairs = zip(ask(theirs, asked), ask(ours, asked), strict=True)
        return sum(one.text != other.text for one, other in pairs)
    finally:
        theirs.close()
        ours.close()


@pytest.fixture(scope="module")
def noise(dense: Checkpoint) -> int:
    return differing(dense)


@pytest.mark.parametrize("stage", STAGES)
def test_a_quantized_checkpoint_answers_alike_within_the_noise_of_bfloat16(
    quantized: Path, noise: int, stage: str
) -> None:
    found = differing(open_checkpoint(quantized / stage))
    print(f"\n{stage}: {found} of {4 * ASKED} answers differ, dense {noise}")
    assert found <= noise + SLACK
