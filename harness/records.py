"""The records everything speaks in: samples, requests, answers and scores.

Plain frozen values without behavior beyond their own construction. Not here: how tasks are
declared (tasks.py), how requests are answered (backends/), how scores are stored (run.py).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from .sandbox.program import Execution, Program

Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"
Role: TypeAlias = Literal["candidate", "judge", "user", "sandbox"]

#: Domain ids, everywhere (DESIGN section 2).
DOMAINS = ("instruction", "math", "code", "tools", "chat", "safety", "knowledge")


def canonical_json(value: Any) -> str:
    """Serialize so that equal values give equal text: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def clean_text(text: str) -> str:
    """Text that files can hold and models be asked: lone surrogates become the replacement character."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def content_hash(value: Any, digits: int = 16) -> str:
    """First hex digits of the sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[
        :digits
    ]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function that a model asks for."""

    name: str
    arguments: str
    """JSON text as the model wrote it: it may be no JSON at all."""
    id: str = ""
    """By which the tool's answer refers to this call; some models give none."""

    def as_dict(self) -> dict[str, Any]:
        """The form of OpenAI's chat API."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn. `content` may be hostile text when a model wrote it."""

    role: str
    content: str
    calls: tuple[ToolCall, ...] = ()
    """What the assistant called in this turn."""
    call_id: str = ""
    """In a turn of role `tool`: the call it answers."""

    def as_dict(self) -> dict[str, Any]:
        """The form chat templates and JSON files use (OpenAI's chat API)."""
        shown: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.calls:
            shown["tool_calls"] = [call.as_dict() for call in self.calls]
        if self.call_id:
            shown["tool_call_id"] = self.call_id
        return shown


#: What a model is asked: raw text to continue, or a chat.
Prompt: TypeAlias = "str | tuple[Message, ...]"


def user(content: str) -> tuple[Message, ...]:
    """A chat that consists of one user turn."""
    return (Message("user", content),)


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How an answer is decoded. Part of an answer's identity: nothing is left to a backend's default."""

    max_tokens: int = 512
    """Most new tokens; clipped to what the context still holds."""
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    """Generation ends before the first of these; the stop string is not part of the answer."""
    thinking_budget: int | None = None
    """Most tokens of thinking, after which the backend closes it for the model; None sets no limit."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature must be at least 0, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")
        if self.thinking_budget is not None and not 0 <= self.thinking_budget < self.max_tokens:
            raise ValueError(
                f"thinking_budget must be at least 0 and below max_tokens ({self.max_tokens}), "
                f"got {self.thinking_budget}"
            )

    @property
    def greedy(self) -> bool:
        """Whether decoding draws no random numbers."""
        return self.temperature == 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON and keys; a budget that is not set is left out, so that older answers keep theirs."""
        values = dataclasses.asdict(self) | {"stop": list(self.stop)}
        if self.thinking_budget is None:
            del values["thinking_budget"]
        return values


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of a task.

    `id` names it across Runs: the paired tests and every deep link depend on it.
    """

    id: str
    input: Any
    """What the task builds its prompt from: text, messages, or a mapping."""
    target: Any = None
    """The gold answer or whatever the grader needs."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    """The task's metrics this sample counts for; empty means all of them."""
    cluster: str | None = None
    """Samples that share a passage, template or dialogue are one unit of analysis."""

    @classmethod
    def of(cls, input: Any, target: Any = None, **metadata: Any) -> Sample:
        """A sample whose id is the hash of its content."""
        return cls(content_hash([input, target]), input, target, metadata)


StopReason: TypeAlias = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model answered. `text` is the answer with any thinking part removed."""

    text: str
    stop_reason: StopReason = "stop"
    thinking: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_s: float = 0.0
    calls: tuple[ToolCall, ...] = ()
    """Functions the model called, where the request offered tools and the backend reads calls."""
    logprob: float | None = None
    """Log-probability of the sampled tokens (nats, summed, at temperature 1); None where the backend
    does not give it, as for greedy answers."""
    thinking_closed: bool = False
    """The thinking budget ran out, and the backend closed the thinking."""

    @property
    def truncated(self) -> bool:
        """Whether the token limit cut the answer."""
        return self.stop_reason == "length"


@dataclass(frozen=True, slots=True)
class Choice:
    """Log-probabilities (nats, summed over tokens) of the alternatives of a `Choose`."""

    logprobs: tuple[float, ...]
    token_counts: tuple[int, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Read and written for it, as a server bills them; 0 and 0 where nobody counted."""

    @property
    def best(self) -> int:
        """Index of the most likely alternative; the first of equals."""
        return max(range(len(self.logprobs)), key=lambda i: self.logprobs[i])


@dataclass(frozen=True, slots=True)
class Generate:
    """Ask a model for text. `settings` None means the task's."""

    prompt: Prompt
    settings: GenerationSettings | None = None
    role: Role = "candidate"
    tools: tuple[Mapping[str, Any], ...] = ()
    """Functions on offer, each in the form of OpenAI's chat API; only chats can have any."""


@dataclass(frozen=True, slots=True)
class Choose:
    """Ask a model how likely each alternative is as the continuation of the prompt."""

    prompt: Prompt
    choices: tuple[str, ...]
    role: Role = "candidate"


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a program in the sandbox."""

    program: Program
    role: Role = "sandbox"


Request: TypeAlias = "Generate | Choose | Execute"
Answer: TypeAlias = "Generation | Choice | Execution"


@dataclass(frozen=True, slots=True)
class Fault:
    """A request the instrument could not answer. Never the model's score."""

    reason: str
    """One of `backend_error timeout judge_error sandbox_error prompt_too_long missing_response`."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """A sample's score, or the reason why there is none.

    A fault of the model is `value` 0 with a `reason` (empty, unparsed, truncated, wrong ...); a
    fault of the instrument is `value` None with a `reason`.
    """

    value: float | None
    """The headline metric, higher is better; also the reward in training. None: unscored."""
    reason: str | None = None
    extracted: str | None = None
    """What the grader took as the answer."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Further metrics of this sample, by name, in their natural direction."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able evidence for pages and re-analysis."""

    def __post_init__(self) -> None:
        if self.value is None and not self.reason:
            raise ValueError("an unscored Score needs a reason")
        if self.value is not None and not 0.0 <= self.value <= 1.0:
            raise ValueError(f"a score must lie in [0, 1], got {self.value!r}")

    @property
    def scored(self) -> bool:
        """Whether this counts as evidence about the model."""
        return self.value is not None

    @classmethod
    def unscored(cls, reason: str, **detail: Any) -> Score:
        """A score lost to the instrument."""
        return cls(None, reason, detail=detail)


#: A task's work on one sample: yields requests, is sent answers, returns the score.
Conversation: TypeAlias = Generator[Request, Any, Score]
