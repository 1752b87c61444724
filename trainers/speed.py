"""Times two models side by side: prefill and decode, medians over repeats that alternate.

One machine, one process, one thread count; the ratio is worth more than either figure. One thread on a
CPU is timed by the seconds that it computed, which neighbours hardly change; anything else by the clock
on the wall. Where the repeats scatter the record says so. Not here: the throughput of a serving engine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from ..harness.stage import StageContext

#: Above this share of the median between the quartiles a timing counts as noisy.
NOISY = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How speed is measured."""

    repeats: int = 7
    """Timed runs of each side, after one that warms up; 0 measures no speed."""
    batch: int = 8
    prompt_tokens: int = 128
    new_tokens: int = 16

    def __post_init__(self) -> None:
        if self.repeats and self.repeats < 3:
            raise ValueError(f"repeats must be 0 or at least 3, got {self.repeats}")
        for name in ("batch", "prompt_tokens", "new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


def compare(before: Any, after: Any, timing: Timing, context: StageContext) -> dict[str, Any]:
    """Tokens per second of two models with one vocabulary, and how far to trust them.

    Returns:
        `prefill` and `decode`, each with tokens/s `before` and `after`, their `ratio`, and `scatter`
        (distance of the quartiles over the median, the worse side); `noisy`; `settings`.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(context.threads)
    try:
        seconds = _alternate({"before": before, "after": after}, timing)
        clock = "computing" if _alone(before) else "wall"
    finally:
        torch.set_num_threads(threads)
    tokens = {"prefill": timing.prompt_tokens, "decode": timing.new_tokens}
    found: dict[str, Any] = {
        phase: _figures(seconds[phase], timing.batch * count) for phase, count in tokens.items()
    }
    found["noisy"] = any(found[phase]["scatter"] > NOISY for phase in tokens)
    found["settings"] = {
        **{name: getattr(timing, name) for name in timing.__slots__},
        "threads": context.threads,
        "clock": clock,
        "device": context.device,
        "dtype": [str(m.dtype).removeprefix("torch.") for m in (before, after)],
    }
    return found


def _alternate(models: dict[str, Any], timing: Timing) -> dict[str, dict[str, list[float]]]:
    """Seconds by phase and side; the side that goes first changes with each repeat."""
    found: dict[str, dict[str, list[float]]] = {
        phase: {side: [] for side in models} for phase in ("prefill", "decode")
    }
    for repeat in range(-1, timing.repeats):
        for side in sorted(models, reverse=repeat % 2 == 0):
            prefill, decode = _run(models[side], timing)
            if repeat >= 0:
                found["prefill"][side].append(prefill)
                found["decode"][side].append(decode)
    return found


def _run(model: Any, timing: Timing) -> tuple[float, float]:
    """Seconds of reading the prompts, and of saying the new tokens one by one."""
    import torch

    highest = model.get_input_embeddings().weight.shape[0]
    shape = (timing.batch, timing.prompt_tokens)
    generator = torch.Generator().manual_seed(0)
    tokens_bt = torch.randint(highest, shape, generator=generator).to(model.device)
    with torch.inference_mode():
        began = _now(model)
        out = model(input_ids=tokens_bt, use_cache=True, logits_to_keep=1)
        between = _now(model)
        for _ in range(timing.new_tokens):
            next_b1 = out.logits[:, -1:].argmax(-1)
            out = model(input_ids=next_b1, past_key_values=out.past_key_values, use_cache=True)
        return between - began, _now(model) - between


def _now(model: Any) -> float:
    """Seconds on the clock that suits the device."""
    if model.device.type == "cuda":
        import torch

        torch.cuda.synchronize(model.device)
    return time.thread_time() if _alone(model) else time.perf_counter()


def _alone(model: Any) -> bool:
    """One thread of a CPU does all the work."""
    import torch

    return model.device.type == "cpu" and torch.get_num_threads() == 1


def _figures(seconds: dict[str, list[float]], tokens: int) -> dict[str, float]:
    middle = {side: median(values) for side, values in seconds.items()}
    scatter = []
    for side, values in seconds.items():
        low, _, high = quantiles(values, n=4)
        scatter.append((high - low) / middle[side])
    return {
        "before": round(tokens / middle["before"], 1),
        "after": round(tokens / middle["after"], 1),
        "ratio": round(middle["before"] / middle["after"], 3),
        "scatter": round(max(scatter), 3),
    }
