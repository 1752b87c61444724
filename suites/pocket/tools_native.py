"""The pocket world's function calls in native mode: tools are offered, and the backend reads the calls.

The items are those of `pocket/tools`, without the system turn that lists the tools there. Under the
pocket model's chat template both ask in the same words, so that the two tasks differ in who reads the
calls alone. Not in the group `pocket`, whose tools domain would count every item twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...harness.records import Generation, GenerationSettings, Message, Prompt, Sample, Score
from ...harness.tasks import task
from ..bfcl_functions import tools
from ..function_calls import native_calls
from .scorers import call_score
from .tasks import PocketTools, _card, _finish


@task(
    "pocket/tools-native",
    domain="tools",
    settings=GenerationSettings(max_tokens=48),
    card=_card("choosing a tool through the chat API's tools", "single-call check of BFCL"),
)
class PocketToolsNative:
    """Function calls that the backend reads; calling nothing is right where no tool fits."""

    def samples(self) -> Iterable[Sample]:
        return PocketTools().samples()

    def prompt(self, sample: Sample) -> Prompt:
        return tuple(Message(**turn) for turn in sample.input if turn["role"] != "system")

    def tools(self, sample: Sample) -> tuple[Mapping[str, Any], ...]:
        """The functions on offer."""
        return tools(sample.target["functions"])

    def grade(self, sample: Sample, generation: Generation) -> Score:
        made = ", ".join(f"{call.name}({call.arguments})" for call in generation.calls)
        if not made and not generation.text.strip():
            return Score(0.0, "empty")  # silence is no decision against calling a tool
        calls = native_calls(generation.calls)
        gold = sample.target["gold"]
        if gold is None and calls is None:
            return Score(0.0, "called_without_need", extracted=made)
        score = call_score(calls, sample.target["functions"], gold, made or generation.text)
        return _finish(score, generation) if not made else score
