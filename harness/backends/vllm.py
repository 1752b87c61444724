"""Answers with vLLM in this process, for models and machines where throughput matters.

The harness renders and tokenizes (prompts.py) and cuts answers (stopping.py, thinking.py), so that the
same checkpoint sees the same tokens here as with transformers; vLLM batches continuously and keeps
shared prefixes. All suites of a Run share one engine. Not here: the engine's thread (vllm_engine.py),
several replicas, `vllm serve` (openai.py asks it).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checkpoint_check import check_finite_files
from ..checkpoints import Checkpoint, open_checkpoint
from ..errors import UsageError
from ..records import Answer, Choice, Choose, Fault, Generate, Generation, Request, content_hash
from .base import Ticket, unreadable
from .loading import DTYPES, load_vocabulary
from .prompts import Prompts
from .stopping import Speech, Stops
from .thinking import opens_thinking, split_thinking
from .tool_calls import Caller
from .vllm_engine import Asked, import_vllm, on_cpu, start

#: Raised when the same request could be answered otherwise by newer code.
VERSION = "1"
#: What of `describe()` belongs to the identity, besides the weights.
SHAPING = (
    *("name", "version", "vllm", "torch", "transformers", "dtype", "device", "context"),
    *("tensor_parallel", "prefix_sharing"),
)
#: Most alternatives that are weighed by one look at the next token (vLLM's limit is 128).
MOST_NEXT = 100


class VLLMBackend:
    """Serves one checkpoint.

    Args:
        checkpoint: a folder, or what `open_checkpoint` made of one.
        dtype: float32, bfloat16, float16, or "auto": float32 on a CPU, else the checkpoint's own.
        max_model_len: most tokens of prompt and answer together; None is what the model was made for.
        tensor_parallel: GPUs that share each layer.
        batch_size: most answers under way at once; None leaves it to vLLM.
        memory_share: of each GPU that vLLM may take.
        cache_gib: memory for keys and values, where it is not what is left of `memory_share`.
        trust_remote_code: run Python code that lies in the folder.

    Raises:
        UsageError: a setting means nothing.
        CheckpointError: the folder cannot be evaluated as it is.
        BackendError: vLLM is missing, or does not start.
    """

    lockstep = False
    #: Waves that may be under way at once: the turns of as many conversations share a batch.
    parallel = 256

    def __init__(
        self,
        checkpoint: Checkpoint | str | Path,
        *,
        dtype: str = "auto",
        max_model_len: int | None = None,
        tensor_parallel: int = 1,
        batch_size: int | None = None,
        memory_share: float = 0.9,
        cache_gib: float | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        numbers = {"tensor_parallel": tensor_parallel, "batch_size": batch_size}
        for name, value in {**numbers, "max_model_len": max_model_len}.items():
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}.")
        if dtype not in DTYPES:
            raise UsageError(f"There is no dtype '{dtype}'; use one of {', '.join(DTYPES)}.")
        import_vllm()
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = open_checkpoint(checkpoint)
        self.checkpoint = checkpoint
        check_finite_files(checkpoint.path)
        found = load_vocabulary(checkpoint.path, trust_remote_code)
        self.ends = found.ends
        self.prompts = Prompts(found.tokenizer, str(checkpoint.path))
        self.caller = Caller(found.tokenizer, str(checkpoint.path))
        self.stops: dict[tuple[Speech, tuple[str, ...]], Stops] = {}
        settings: dict[str, Any] = {
            "model": str(checkpoint.path),
            "dtype": "float32" if dtype == "auto" and on_cpu() else dtype,
            "max_model_len": max_model_len or found.context,
            "tensor_parallel_size": tensor_parallel,
            "max_num_seqs": batch_size,
            "gpu_memory_utilization": memory_share,
            "trust_remote_code": trust_remote_code,
            "enforce_eager": on_cpu(),
            "enable_prefix_caching": True,
            "load_format": "safetensors",
            "generation_config": "vllm",
            "disable_log_stats": True,
        }
        self.engine = start(settings, cache_gib)
        self.facts = self._facts(tensor_parallel)
        self.context = int(self.facts["context"])

    def _facts(self, tensor_parallel: int) -> Mapping[str, Any]:
        import torch
        import transformers
        import vllm

        config = self.engine.engine.vllm_config
        return {
            "name": "vllm",
            "version": VERSION,
            "checkpoint": self.checkpoint.digest,
            "vllm": vllm.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "device": "cpu" if on_cpu() else "cuda",
            "batch_size": config.scheduler_config.max_num_seqs,
            "tensor_parallel": tensor_parallel,
            "context": config.model_config.max_model_len,
            "prefix_sharing": bool(config.cache_config.enable_prefix_caching),
        }

    @property
    def identity(self) -> str:
        """Hash of the weights and of all that shapes the arithmetic."""
        shaping = [self.facts[name] for name in SHAPING]
        return content_hash([self.checkpoint.digest, *shaping], digits=32)

    def describe(self) -> Mapping[str, Any]:
        """For run.json; `batch_size` can be passed back to the constructor."""
        return dict(self.facts)

    def render(self, request: Request) -> str:
        """See `Prompts.render`; functions are offered only where calls can be read (`Caller.check`)."""
        self.caller.check(request)
        return self.prompts.render(request)

    def batches(self, tickets: Sequence[Ticket]) -> list[list[int]]:
        """A wave is one batch: vLLM composes its own, step by step."""
        return [list(range(len(tickets)))] if tickets else []

    def answer(self, tickets: Sequence[Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        """Put a wave to the engine; yields answers as they finish.

        Raises:
            BackendError: the engine failed.
        """
        began = time.perf_counter()
        asked: dict[tuple[int, int], Asked] = {}
        weighed: dict[int, _Weighing] = {}
        for index, ticket in enumerate(tickets):
            got = unreadable(ticket) or self._asked(ticket)
            if isinstance(got, Fault):
                yield index, got
            elif isinstance(got, _Weighing):
                weighed[index] = got
                asked |= {(index, part): one for part, one in enumerate(got.parts)}
            else:
                asked[index, 0] = got
        for (index, _), one in self.engine.ask(asked):
            if index not in weighed:
                yield index, self._finished(tickets[index], one, time.perf_counter() - began)
            elif weighed[index].complete():
                yield index, weighed[index].choice()

    def _asked(self, ticket: Ticket) -> Asked | _Weighing | Fault:
        chat = not isinstance(getattr(ticket.request, "prompt", ""), str)
        if isinstance(ticket.request, Choose):
            return self._weighing(ticket.rendered, ticket.request, chat)
        assert isinstance(ticket.request, Generate)
        [prompt] = self.prompts.encode([ticket.rendered], chat)
        room = self.context - len(prompt)
        if room < 1:
            return self._too_long(len(prompt))
        settings = ticket.settings
        stops = self._stops(ticket)
        params = self._params(
            streamed=stops is not None,
            max_tokens=min(settings.max_tokens, room),
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=None if settings.greedy else ticket.seed,
            logprobs=None if settings.greedy else 0,
        )
        return Asked(prompt, params, stops, opens_thinking(ticket.rendered))

    def _params(self, *, streamed: bool = False, **settings: Any) -> Any:
        """SamplingParams without text: vLLM's would drop what thinking is told by."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            detokenize=False,
            stop_token_ids=sorted(self.ends),
            output_kind=RequestOutputKind.DELTA if streamed else RequestOutputKind.FINAL_ONLY,
            **settings,
        )

    def _stops(self, ticket: Ticket) -> Stops | None:
        speech, strings = self.caller.speech(ticket.request), ticket.settings.stop
        if not any(strings):
            return None
        return self.stops.setdefault((speech, strings), Stops(speech, strings))

    def _too_long(self, tokens: int) -> Fault:
        return Fault("prompt_too_long", f"{tokens} prompt tokens, the context holds {self.context}")

    def _finished(self, ticket: Ticket, asked: Asked, seconds: float) -> Generation | Fault:
        if asked.cut is None and asked.finish not in ("stop", "length"):
            return Fault("backend_error", f"vLLM ended the request with '{asked.finish}'")
        tokens, generated = asked.tokens, len(asked.tokens)
        if asked.cut is None and asked.finish == "stop" and tokens and tokens[-1] in self.ends:
            tokens = tokens[:-1]
        said = self.caller.speech(ticket.request).text(tokens)[: asked.cut]
        thinking, answer = split_thinking(said, asked.opened)
        text, calls = self.caller.read(ticket.request, answer)
        return Generation(
            text=text,
            stop_reason="length" if asked.cut is None and asked.finish == "length" else "stop",
            thinking=thinking,
            prompt_tokens=len(asked.prompt),
            completion_tokens=generated,
            latency_s=seconds,
            logprob=None if ticket.settings.greedy else asked.logprob,
            calls=calls,
        )

    def _weighing(self, rendered: str, request: Choose, chat: bool) -> _Weighing | Fault:
        """Ask for the next token's log-probabilities where each choice is one, else for each choice's.

        The former reads the shared prefixes that vLLM has kept; the log-probabilities of a prompt's own
        tokens need a pass over all of it.
        """
        head, added = self.prompts.continuations(rendered, request.choices, chat)
        longest = len(head) + max(map(len, added))
        if longest > self.context:
            return self._too_long(longest)
        if len(added) <= MOST_NEXT and all(len(ids) == 1 for ids in added):
            wanted = sorted({ids[0] for ids in added})
            params = self._params(max_tokens=1, temperature=0.0, logprob_token_ids=wanted)
            return _Weighing(added, [Asked(head, params)])
        if longest == self.context:  # vLLM wants room for one token more
            return self._too_long(longest + 1)
        params = self._params(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        return _Weighing(added, [Asked([*head, *ids], params) for ids in added])

    def close(self) -> None:
        """Stop the engine and free its memory; `describe` goes on telling."""
        self.engine.close()


class _Weighing:
    """A choice in the making: one look at the next token, or one request for each alternative."""

    def __init__(self, added: Sequence[Sequence[int]], parts: Sequence[Asked]) -> None:
        self.added = added
        self.parts = parts
        self.left = len(parts)

    def complete(self) -> bool:
        """Count one more part; whether it was the last."""
        self.left -= 1
        return self.left == 0

    def choice(self) -> Choice | Fault:
        """Summed log-probability of each alternative."""
        try:
            if len(self.parts) == 1 and self.parts[0].first is not None:
                told = self.parts[0].first
                sums = [float(told[ids[0]].logprob) for ids in self.added]
            else:
                sums = [_summed(*both) for both in zip(self.parts, self.added, strict=True)]
        except (KeyError, TypeError, IndexError) as error:
            ends = {part.finish for part in self.parts}
            return Fault("backend_error", f"vLLM gave no log-probability ({error!r}, {ends})")
        if not all(map(math.isfinite, sums)):
            return Fault("backend_error", "the model's logits are not finite")
        return Choice(tuple(sums), tuple(len(ids) for ids in self.added))


def _summed(asked: Asked, ids: Sequence[int]) -> float:
    """Log-probability of the prompt's last tokens, which are `ids`."""
    rows = (asked.prompt_logprobs or ())[-len(ids) :]
    return sum(float(row[token].logprob) for row, token in zip(rows, ids, strict=True))
