"""GSM8K prompts x 64 greedy tokens: the vLLM backend beside bare `LLM.generate`, both in process.

    WATERBED_DATA=... python tests/bench/bench_vllm.py

In an environment with vLLM (`tox run -e vllm` makes one). The phase is what follows loading: tokenizing,
generating, detokenizing. The same engine settings on both sides; a stop string on neither.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from side_by_side import Phase, compare, report
from small_llama import make, prompts

COUNT, TOKENS, CACHE_GIB = 400, 64, 1.0


def waterbed(folder: Path) -> None:
    """This backend."""
    from waterbed.harness.backends.base import Ticket
    from waterbed.harness.backends.vllm import VLLMBackend
    from waterbed.harness.records import Generate, GenerationSettings

    backend = VLLMBackend(make(folder), cache_gib=CACHE_GIB, max_model_len=1024)
    texts = prompts(COUNT)
    settings = GenerationSettings(max_tokens=TOKENS)

    def ask(some: list[str]) -> list[str]:
        tickets = [
            Ticket(Generate(t), t, settings, 0, "bench", str(i), 0, 0) for i, t in enumerate(some)
        ]
        said = [""] * len(some)
        for batch in backend.batches(tickets):
            for i, answer in backend.answer([tickets[j] for j in batch]):
                said[batch[i]] = answer.text  # type: ignore[union-attr]
        return said

    ask(["Warm up."])
    phase = Phase()
    said = ask(texts)
    report(**phase.figures(), output=said)


def bare(folder: Path) -> None:
    """vLLM's own offline entry."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    from vllm import LLM, SamplingParams

    engine: Any = LLM(
        str(make(folder)),
        dtype="float32",
        max_model_len=1024,
        enforce_eager=True,
        enable_prefix_caching=True,
        generation_config="vllm",
        kv_cache_memory_bytes=int(CACHE_GIB * 2**30),
    )
    texts = prompts(COUNT)
    params = SamplingParams(max_tokens=TOKENS, temperature=0.0)
    engine.generate(["Warm up."], params, use_tqdm=False)
    phase = Phase()
    said = [out.outputs[0].text for out in engine.generate(texts, params, use_tqdm=False)]
    report(**phase.figures(), output=said)


def same_text(ours: list[str], theirs: list[str]) -> str:
    """How many answers are equal."""
    return f"{sum(a == b for a, b in zip(ours, theirs, strict=True))} of {len(ours)} equal"


if __name__ == "__main__":
    compare(__file__, {"waterbed": waterbed, "bare": bare}, same_text)
