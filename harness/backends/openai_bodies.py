"""The JSON bodies of an OpenAI-compatible server, read into answers.

Every reader raises one of endpoint.UNREADABLE where a body is not one, which is taken for a failed try.
What a model wrote is kept as it is. Not here: asking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..records import Choice, Fault, Generation, Message, ToolCall
from .thinking import split_thinking


def messages_of(prompt: Sequence[Message]) -> list[dict[str, Any]]:
    """A chat as the server wants it."""
    return [message.as_dict() for message in prompt]


def completion(body: Mapping[str, Any], seconds: float) -> Generation:
    """The answer of `/completions`, which took so many seconds."""
    choice = body["choices"][0]
    thinking, text = split_thinking(_text(choice["text"]))
    return _generation(body, choice, text, thinking, (), seconds)


def chat(body: Mapping[str, Any], seconds: float) -> Generation:
    """The answer of `/chat/completions`, with thinking and calls where the server tells them apart."""
    choice = body["choices"][0]
    message = choice["message"]
    thinking, text = split_thinking(_text(message.get("content")))
    told = message.get("reasoning_content") or message.get("reasoning")
    calls = tuple(_call(call) for call in message.get("tool_calls") or ())
    return _generation(body, choice, text, _text(told) if told else thinking, calls, seconds)


def _generation(
    body: Mapping[str, Any],
    choice: Mapping[str, Any],
    text: str,
    thinking: str | None,
    calls: tuple[ToolCall, ...],
    seconds: float,
) -> Generation:
    prompt, written = spent(body)
    told = choice.get("logprobs") or {}
    tokens = told.get("content")  # of a chat; a completion lists bare numbers
    logprobs = [t["logprob"] for t in tokens] if tokens else told.get("token_logprobs")
    return Generation(
        text=text,
        stop_reason="length" if choice.get("finish_reason") == "length" else "stop",
        thinking=thinking,
        prompt_tokens=prompt,
        completion_tokens=written,
        latency_s=seconds,
        calls=calls,
        logprob=sum(map(float, logprobs)) if logprobs else None,
    )


def spent(body: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens of the prompt and of the answer, as the server bills them; 0 where it does not say."""
    usage = body.get("usage") or {}
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)


def _text(content: Any) -> str:
    """Text of a message: a string, nothing, or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(str(part["text"]) for part in content if part.get("type") == "text")


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    return ToolCall(str(function["name"]), str(function["arguments"]), str(call.get("id") or ""))


def first_tokens(body: Mapping[str, Any], choices: Sequence[str]) -> Choice | Fault:
    """Log-probability of the token that each choice begins with."""
    content = (body["choices"][0].get("logprobs") or {}).get("content")
    if not content:
        return Fault("backend_error", "the server gives no log-probabilities, which Choose needs")
    told = {str(top["token"]): float(top["logprob"]) for top in content[0]["top_logprobs"]}
    begun = [max((t for t in told if t and c.startswith(t)), key=len, default="") for c in choices]
    if "" in begun or len(set(begun)) < len(choices):
        return Fault(
            "backend_error",
            f"the {len(told)} likeliest first tokens do not tell {list(choices)} apart",
        )
    return Choice(tuple(told[token] for token in begun), (1,) * len(choices), *spent(body))


@dataclass(frozen=True, slots=True)
class Echoed:
    """The log-probability of some of a prompt's characters."""

    logprob: float
    tokens: int
    spent: tuple[int, int]


def echo_reader(start: int, end: int) -> Callable[[Mapping[str, Any]], Echoed | Fault]:
    """Reads the summed log-probability of the prompt's characters from `start` to `end`."""

    def read(body: Mapping[str, Any]) -> Echoed | Fault:
        told = body["choices"][0].get("logprobs")
        if not told:
            return Fault(
                "backend_error", "the server gives no log-probabilities of a prompt (echo)"
            )
        pairs = zip(told["text_offset"], told["token_logprobs"], strict=True)
        own = [float(p) for offset, p in pairs if start <= offset < end and p is not None]
        if not own:
            return Fault("backend_error", "no token of an alternative")
        return Echoed(sum(own), len(own), spent(body))

    return read
