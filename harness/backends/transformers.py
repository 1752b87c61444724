"""Answers with a Hugging Face checkpoint in this process, on a GPU or a CPU.

Own decode loop over the model's forward pass, safe loading, everything that shapes an answer in
`describe()`. The parts: loading.py, tuning.py, prompts.py, engine.py, decoding.py, choices.py,
stopping.py, thinking.py, tool_calls.py. Not here: many GPUs, quantized kernels, servers (see the other
backends).
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints import Checkpoint, open_checkpoint
from ..errors import BackendError, UsageError
from ..records import Answer, Choose, Fault, Generate, Generation, Request, content_hash
from .base import Ticket, unreadable
from .loading import load
from .prompts import Prompts
from .stopping import Speech, Stops
from .thinking import Budget, end_marker, no_thinking, opens_thinking, split_thinking
from .tool_calls import Caller

if TYPE_CHECKING:
    from .choices import Question
    from .decoding import Row

#: Raised when the same request could be answered otherwise by newer code.
VERSION = "1"
#: What of `describe()` belongs to the identity, besides the weights. The batch size does not, though
#: it can move the last bits: a Run keeps its own when it resumes, and Runs share greedy answers.
SHAPING = (
    *("name", "version", "torch", "transformers", "dtype", "device", "attention"),
    *("prefix_sharing", "padding"),
)


class TransformersBackend:
    """Serves one checkpoint.

    Args:
        checkpoint: a folder, or what `open_checkpoint` made of one.
        device: a torch device, or "auto": the GPU where there is one.
        dtype: float32, bfloat16, float16, or "auto": float32 on a CPU, else the checkpoint's own.
        batch_size: most rows computed together; None picks what fits the memory.
        threads: torch threads on a CPU; None measures.
        trust_remote_code: run Python code that lies in the folder.

    Raises:
        UsageError, CheckpointError, BackendError: see loading.py.
    """

    lockstep = True
    parallel = 1

    def __init__(
        self,
        checkpoint: Checkpoint | str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int | None = None,
        threads: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("threads", threads)):
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}.")
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = open_checkpoint(checkpoint)
        self.checkpoint = checkpoint
        self.loaded = load(checkpoint.path, device, dtype, trust_remote_code)
        self.prompts = Prompts(self.loaded.tokenizer, str(checkpoint.path))
        self.caller = Caller(self.loaded.tokenizer, str(checkpoint.path))
        self.speech = self.caller.plain
        self.stops: dict[tuple[Speech, tuple[str, ...]], Stops] = {}
        marker = end_marker(self.loaded.tokenizer.chat_template)
        self.thinking_end = self.prompts.encode([marker], chat=True)[0] if marker else None
        self.notes: list[str] = []
        self._tune(batch_size, threads)
        self.facts = self._facts()

    def _tune(self, batch_size: int | None, threads: int | None) -> None:
        """Find out what model and machine can do."""
        import torch

        from .attention import use_grouped
        from .engine import Engine
        from .tuning import choose_batch_size, choose_threads, probe

        if self.loaded.device.type == "cpu":
            use_grouped(self.loaded.model)
        self.engine = Engine(self.loaded.model, self.loaded.device)
        self.threads_before = torch.get_num_threads()
        token_bytes = probe(self.engine)
        self.threads = threads or choose_threads(self.engine)
        self.batch_size = choose_batch_size(
            self.engine, self.loaded.context, token_bytes, batch_size
        )

    def _facts(self) -> Mapping[str, Any]:
        import torch
        import transformers

        return {
            "name": "transformers",
            "version": VERSION,
            "checkpoint": self.checkpoint.digest,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "dtype": self.loaded.dtype,
            "device": self.loaded.device.type,
            "attention": str(self.loaded.model.config._attn_implementation),
            "batch_size": self.batch_size,
            "threads": self.threads,
            "context": self.loaded.context,
            "prefix_sharing": self.engine.shares,
            "padding": self.engine.pads,
            "unexpected_weights": self.loaded.unexpected,
        }

    @property
    def identity(self) -> str:
        """Hash of the weights and of all that shapes the arithmetic."""
        shaping = [self.facts[name] for name in SHAPING]
        return content_hash([self.checkpoint.digest, *shaping], digits=32)

    def describe(self) -> Mapping[str, Any]:
        """For run.json; `batch_size` and `threads` can be passed back to the constructor."""
        return {**self.facts, "notes": list(self.notes)}

    def render(self, request: Request) -> str:
        """See `Prompts.render`; functions are offered only where calls can be read (`Caller.check`)."""
        self.caller.check(request)
        return self.prompts.render(request)

    def batches(self, tickets: Sequence[Ticket]) -> list[list[int]]:
        """Requests of one kind and equal settings together, the longest prompts first."""
        groups: dict[Any, list[int]] = {}
        for i, ticket in enumerate(tickets):
            groups.setdefault((type(ticket.request), ticket.settings), []).append(i)
        cut: list[list[int]] = []
        for group in groups.values():
            group.sort(key=lambda i: (-len(tickets[i].rendered.encode("utf-8", "replace")), i))
            cut.extend(self._cut([(i, _rows(tickets[i])) for i in group]))
        return cut

    def _cut(self, sized: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
        """Runs of indices whose rows together fit a batch; one index at least."""
        batch: list[int] = []
        filled = 0
        for index, rows in sized:
            if batch and filled + rows > self.batch_size:
                yield batch
                batch, filled = [], 0
            batch.append(index)
            filled += rows
        if batch:
            yield batch

    def answer(self, tickets: Sequence[Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        """Answer one batch; on a full GPU once more in halves.

        Raises:
            BackendError: the engine failed for a whole batch.
        """
        import torch

        if self.loaded.device.type == "cpu" and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)  # the count is kept by thread, and others change it
        left = dict(enumerate(tickets))
        try:
            for index, answer in self._answer(dict(left)):
                del left[index]
                yield index, answer
            return
        except torch.OutOfMemoryError:
            if len(left) < 2:
                raise self._full(len(left)) from None
            self._make_room(len(left))
        keys = list(left)
        for part in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
            try:
                yield from self._answer({k: left[k] for k in part})
            except torch.OutOfMemoryError:
                raise self._full(len(part)) from None

    def _make_room(self, rows: int) -> None:
        import torch

        self.engine.prefix = None
        self.notes.append(f"out of memory with {rows} requests, retried in halves")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _full(self, rows: int) -> BackendError:
        return BackendError(
            f"{self.loaded.device} has no memory left for a batch of {rows}; pass batch_size="
            f"{max(1, rows // 2)} or shorten max_tokens."
        )

    def _answer(self, tickets: Mapping[int, Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        import torch

        began = time.perf_counter()
        generate: dict[int, Ticket] = {}
        choose: dict[int, Ticket] = {}
        for index, ticket in tickets.items():
            fault = unreadable(ticket)
            if fault is not None:
                yield index, fault
            elif isinstance(ticket.request, Choose):
                choose[index] = ticket
            else:
                generate[index] = ticket
        try:
            yield from self._generate(generate, began)
            yield from self._choose(choose)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError) as error:
            raise BackendError(
                f"The model failed on a batch of {len(tickets)} ({type(error).__name__}: {error}); "
                "run it with batch_size=1 to find the request."
            ) from error

    def _generate(
        self, tickets: Mapping[int, Ticket], began: float
    ) -> Iterator[tuple[int, Answer | Fault]]:
        from .decoding import decode

        rows: list[Row] = []
        for (index, ticket), prompt in zip(tickets.items(), self._tokens(tickets), strict=True):
            limit = self._room(len(prompt))
            if limit < 1:
                yield index, self._too_long(len(prompt))
            else:
                rows.append(self._row(index, ticket, prompt, limit))
        if not rows:
            return
        for row in decode(self.engine, rows, self.loaded.ends):
            yield row.index, self._finished(row, tickets[row.index], time.perf_counter() - began)

    def _tokens(self, tickets: Mapping[int, Ticket]) -> list[list[int]]:
        """Prompts in the order of `tickets`, tokenized in two calls at most."""
        found: dict[int, list[int]] = {}
        for chat in (False, True):
            which = [i for i, t in tickets.items() if _is_chat(t) == chat]
            ids = self.prompts.encode([tickets[i].rendered for i in which], chat)
            found.update(zip(which, ids, strict=True))
        return [found[i] for i in tickets]

    def _room(self, prompt_tokens: int) -> int:
        """How many tokens the context holds beyond the prompt."""
        return (self.loaded.context or 1 << 62) - prompt_tokens

    def _too_long(self, tokens: int) -> Fault:
        return Fault(
            "prompt_too_long", f"{tokens} prompt tokens, the context holds {self.loaded.context}"
        )

    def _row(self, index: int, ticket: Ticket, prompt: list[int], room: int) -> Row:
        from .decoding import Row

        return Row(
            index=index,
            prompt=prompt,
            limit=min(ticket.settings.max_tokens, room),
            settings=ticket.settings,
            stops=self._stops(ticket),
            opened=opens_thinking(ticket.rendered),
            draws=random.Random(ticket.seed),
            budget=self._budget(ticket),
        )

    def _budget(self, ticket: Ticket) -> Budget | None:
        tokens = ticket.settings.thinking_budget
        if tokens is None or not _is_chat(ticket):
            return None
        if self.thinking_end is None:
            raise no_thinking(str(self.checkpoint.path))
        return Budget(tokens, self.thinking_end)

    def _stops(self, ticket: Ticket) -> Stops:
        speech, strings = self.caller.speech(ticket.request), ticket.settings.stop
        return self.stops.setdefault((speech, strings), Stops(speech, strings))

    def _finished(self, row: Row, ticket: Ticket, seconds: float) -> Generation | Fault:
        if row.reason is None:
            return Fault("backend_error", row.fault)
        said = row.stops.speech.text(row.tokens)[: row.cut]
        thinking, answer = split_thinking(said, row.opened)
        text, calls = self.caller.read(ticket.request, answer)
        return Generation(
            text=text,
            stop_reason=row.reason,
            thinking=thinking,
            prompt_tokens=len(row.prompt),
            completion_tokens=row.generated,
            latency_s=seconds,
            logprob=None if row.settings.greedy else row.logprob,
            thinking_closed=row.budget is not None and row.budget.spent,
            calls=calls,
        )

    def _choose(self, tickets: Mapping[int, Ticket]) -> Iterator[tuple[int, Answer | Fault]]:
        from .choices import weigh

        questions: list[Question] = []
        for index, ticket in tickets.items():
            question = self._question(index, ticket)
            if isinstance(question, Fault):
                yield index, question
            else:
                questions.append(question)
        if not questions:
            return
        for index, choice in weigh(self.engine, questions, self.batch_size):
            if all(value == value and value > float("-inf") for value in choice.logprobs):
                yield index, choice
            else:
                yield index, Fault("backend_error", "the model's logits are not finite")

    def _question(self, index: int, ticket: Ticket) -> Question | Fault:
        from .choices import Question

        assert isinstance(ticket.request, Choose)
        prompt, continuations = self.prompts.continuations(
            ticket.rendered, ticket.request.choices, _is_chat(ticket)
        )
        longest = max(map(len, continuations))
        if self._room(len(prompt) + longest - 1) < 0:  # the last token is predicted, never read
            return self._too_long(len(prompt) + longest - 1)
        return Question(index, prompt, continuations)

    def close(self) -> None:
        """Free the model and give torch its threads back; `describe` goes on telling."""
        import torch

        torch.set_num_threads(self.threads_before)
        self.engine.model = self.engine.prefix = None
        self.loaded = replace(self.loaded, model=None)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _rows(ticket: Ticket) -> int:
    return len(ticket.request.choices) if isinstance(ticket.request, Choose) else 1


def _is_chat(ticket: Ticket) -> bool:
    request = ticket.request
    return isinstance(request, Generate | Choose) and not isinstance(request.prompt, str)
