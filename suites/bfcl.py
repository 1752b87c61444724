"""BFCL V4, single turn: which functions a model calls, with which arguments (Patil et al., 2025).

Thirteen categories of the Berkeley Function-Calling Leaderboard: simple calls in Python, Java and
JavaScript, a choice of several functions, several calls at once, the same on functions that users sent
in (live), and requests that no function fits (irrelevance) or one does (relevance). `bfcl` asks in
prompting mode and reads calls out of text; `bfcl-native` offers the functions as tools and takes the
calls that the backend read. Calls are compared by their syntax trees and never run.

An empty answer calls nothing, which is right where nothing should be called, as in the reference.
`bfcl@official` asks in the words of the installed package bfcl-eval. Data: WATERBED_DATA/bfcl_v4. Not
here: multi-turn (bfcl_multi_turn.py), the same items in other forms (bfcl_format_sensitivity.py),
memory (bfcl_memory.py), web search.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..harness.errors import DataError, UsageError
from ..harness.records import Generation, GenerationSettings, Message, Prompt, Sample, Score
from ..harness.tasks import Card, Metric, task
from .bfcl_decode import NotCalls, need_parsers, written_calls
from .bfcl_figures import figures
from .bfcl_files import COMMIT, SOURCE, accepted_answers, questions
from .bfcl_functions import hinted, native_name, tools
from .bfcl_prompts import official_system, own_system, with_system
from .function_calls import (
    RIGHT,
    Call,
    Finding,
    Language,
    check_calls,
    check_unordered,
    native_calls,
)

CATEGORIES: Mapping[str, int] = {
    "simple_python": 400,
    "simple_java": 100,
    "simple_javascript": 50,
    "multiple": 200,
    "parallel": 200,
    "parallel_multiple": 200,
    "irrelevance": 240,
    "live_simple": 258,
    "live_multiple": 1053,
    "live_parallel": 16,
    "live_parallel_multiple": 24,
    "live_irrelevance": 884,
    "live_relevance": 16,
}
_LANGUAGES: Mapping[str, Language] = {"simple_java": "java", "simple_javascript": "javascript"}


def samples() -> Iterator[Sample]:
    """Every item; its id is the official one.

    Raises:
        UsageError: a file is missing.
        DataError: a file is another one, or an item has no accepted answer.
    """
    for category in CATEGORIES:
        answers = {} if category.endswith("relevance") else accepted_answers(category)
        for row in questions(category):
            shown = {"turns": row["question"][0], "functions": row["function"]}
            target = {"category": category, "accepted": answers.get(row["id"], [])}
            if answers and not target["accepted"]:
                raise DataError(f"BFCL's item {row['id']} has no accepted answer; get it again.")
            yield Sample(row["id"], shown, target, cluster=_cluster(row["id"]))


def _cluster(id: str) -> str | None:
    """Live items `live_simple_7-3-1` and `live_simple_8-3-2` were made from one user's functions, 3."""
    parts = id.split("-")
    if not id.startswith("live_") or len(parts) != 3:
        return None
    return f"{parts[0].rpartition('_')[0]} {parts[1]}"


def language_of(category: str) -> Language:
    """What the functions of a category are documented in."""
    return _LANGUAGES.get(category, "python")


def shown_functions(sample: Sample) -> list[dict[str, Any]]:
    """The functions on offer, with their hints."""
    language = language_of(sample.target["category"])
    return [hinted(document, language) for document in sample.input["functions"]]


def judge(sample: Sample, calls: Sequence[Call] | None, native: bool = False) -> Finding:
    """BFCL's verdict on the calls of an answer.

    Args:
        calls: None where the answer could not be read as calls.
        native: function names have `_` for `.`, as APIs want them.
    """
    category = sample.target["category"]
    if category.endswith("irrelevance"):
        return Finding("irrelevance_error:decoder_success") if calls else RIGHT
    if category.endswith("relevance"):
        return RIGHT if calls else Finding("relevance_error:decoder_failed")
    if calls is None:
        return Finding("ast_decoder:decoder_failed")
    wanted = list(_wanted(sample, native_name if native else str))
    if "parallel" in category:
        return check_unordered(calls, wanted)
    offered = 2 if "multiple" in category else 1
    return check_calls(calls, *wanted[0], offered=offered, language=language_of(category))


def _wanted(
    sample: Sample, named: Callable[[str], str]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Document and accepted arguments of each wanted call."""
    documents = {d["name"]: d for d in reversed(sample.input["functions"])}
    for answer in sample.target["accepted"]:
        ((name, accepted),) = answer.items()
        yield {**documents[name], "name": named(name)}, accepted


def score_of(finding: Finding, sample: Sample, generation: Generation, said: str) -> Score:
    """A verdict as a score; a wrong answer that was cut or says nothing is called that.

    Args:
        said: what was graded, to be shown.
    """
    reason = finding.error
    if reason is not None and generation.truncated:
        reason = "truncated"
    elif reason is not None and not said.strip():
        reason = "empty"
    detail = {"category": sample.target["category"], "error": finding.error}
    return Score(float(finding.valid), reason, extracted=said, detail=detail)


def accuracy(scores: Mapping[str, Sequence[Score]]) -> dict[str, float]:
    """BFCL's figures; items that were asked several times count by the mean of their answers."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for own in scores.values():
        mean = sum(score.value or 0.0 for score in own) / len(own)
        values[own[0].detail["category"]].append(mean)
    return figures(dict(values))


SETTINGS = GenerationSettings(max_tokens=1024)
VERIFIED = "against 5,937 verdicts and 124 decoded answers of bfcl_eval's checker @ 6ea57973"


def card(how: str, verified: str = VERIFIED) -> Card:
    """The card of one way to ask."""
    return Card(
        measures=f"Function calls by their syntax tree, 13 categories, {how}.",
        not_measures=(
            "Multi-turn calls (bfcl-multi-turn); V4's overall, which needs web search and a memory of "
            "vectors (a sentence-embedding model) and is left out, not approximated"
        ),
        source=SOURCE,
        licence="Apache-2.0",
        revision=COMMIT,
        items=sum(CATEGORIES.values()),
        verified=verified,
    )


@task(
    "bfcl",
    domain="tools",
    metrics=(Metric("correct"),),
    settings=SETTINGS,
    groups=("full",),
    card=card("functions in a system message of our own wording (no published figure compares)"),
)
class BFCL:
    """BFCL in prompting mode: calls are written as text."""

    def __init__(self, wording: str = "own") -> None:
        self.system = official_system if wording == "official" else own_system

    @classmethod
    def variant(cls, text: str) -> Mapping[str, Any]:
        """What `bfcl@official` sets.

        Raises:
            UsageError: another variant.
        """
        if text != "official":
            raise UsageError(f"BFCL has no variant '{text}'; write bfcl or bfcl@official.")
        return {"wording": text}

    def samples(self) -> Iterator[Sample]:
        need_parsers()
        yield from samples()

    def prompt(self, sample: Sample) -> Prompt:
        return with_system(self.system(shown_functions(sample)), sample.input["turns"])

    def grade(self, sample: Sample, generation: Generation) -> Score:
        language = language_of(sample.target["category"])
        calls: Sequence[Call] | None
        try:
            calls = written_calls(generation.text, language)
        except NotCalls:
            calls = None
        return score_of(judge(sample, calls), sample, generation, generation.text)

    def reference(self, sample: Sample) -> str | None:
        """The first accepted value of every argument, in Python."""
        if language_of(sample.target["category"]) != "python":
            return None
        if sample.target["category"].endswith("_relevance"):
            return f"{sample.input['functions'][0]['name']}()"
        return python_reference(sample.target["accepted"])

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        return accuracy(scores)


def python_reference(accepted: Sequence[Mapping[str, Mapping[str, Sequence[Any]]]]) -> str:
    """The accepted calls in Python, with the first accepted value of every argument."""
    calls = []
    for answer in accepted:
        ((name, values),) = answer.items()
        given = {k: v[0] for k, v in values.items() if v and v[0] != ""}
        calls.append(f"{name}({', '.join(f'{k}={_plain(v)!r}' for k, v in given.items())})")
    return f"[{', '.join(calls)}]"


def _plain(value: Any) -> Any:
    """An accepted value as a call has it: of a dict the first accepted value of each key."""
    if isinstance(value, list):
        return [_plain(entry) if isinstance(entry, dict) else entry for entry in value]
    if isinstance(value, dict):
        return {key: values[0] for key, values in value.items() if values[0] != ""}
    return value


@task(
    "bfcl-native",
    domain="tools",
    metrics=(Metric("correct"),),
    settings=SETTINGS,
    card=card("functions as tools of the chat API, names with _ for ."),
)
class BFCLNative:
    """BFCL in native mode: the backend offers tools and reads calls."""

    def samples(self) -> Iterator[Sample]:
        yield from samples()

    def prompt(self, sample: Sample) -> Prompt:
        return tuple(Message(turn["role"], turn["content"]) for turn in sample.input["turns"])

    def tools(self, sample: Sample) -> tuple[Mapping[str, Any], ...]:
        """The functions on offer."""
        return tools(shown_functions(sample))

    def grade(self, sample: Sample, generation: Generation) -> Score:
        calls = native_calls(generation.calls)
        made = ", ".join(f"{call.name}({call.arguments})" for call in generation.calls)
        return score_of(
            judge(sample, calls, native=True), sample, generation, made or generation.text
        )

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        return accuracy(scores)
