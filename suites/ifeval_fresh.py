"""Fresh prompts in IFEval's manner: composed from a seed, checked by IFEval's rules.

IFEval's 541 prompts are public, and a model may have learned them. These are written from a seed that
nobody can have trained on: a request and one to three of the 25 kinds of instruction that go together,
all in words of our own. Every prompt comes with an answer that follows all of it, made by the same
steps, so nothing impossible is asked. Strict and loose verdicts are IFEval's (ifeval.py).

`ifeval-fresh` has the test split of seed 0; `ifeval-fresh@7` that of seed 7, `ifeval-fresh@7/reserve`
its reserve items, for confirming a finding on prompts that no decision has seen. A prompt's split
follows from its text, so no prompt is in two splits, whatever the seed. Ids are the hash of the
generator's version, the seed and the prompt. Not here: the kinds themselves (ifeval_fresh_kinds.py), the words
(ifeval_fresh_words.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal, cast, get_args

from ..harness.errors import UsageError
from ..harness.records import Sample, content_hash
from ..harness.tasks import Card, Metric, task
from .ifeval import SETTINGS, IFEval
from .ifeval_fresh_kinds import KINDS, Arguments, Draft
from .ifeval_fresh_words import FILLERS, QUESTIONS, REQUESTS, TOPICS
from .ifeval_rules import follows
from .ifeval_sentences import Splitter, plain_sentences

Split = Literal["dev", "test", "reserve"]
SPLITS: tuple[Split, ...] = get_args(Split)
#: Raise it with any change of prompts; ids change with it.
VERSION = "1"
#: Prompts of one seed and split.
ITEMS = 500
#: Prompts with one, two and three instructions, about as in IFEval.
SHARES = (0.56, 0.33, 0.11)

_CASE = ("change_case:english_capital", "change_case:english_lowercase")
#: Kinds that decide how the whole answer is laid out: one of them at most.
_LAYOUTS = (
    *("length_constraints:number_paragraphs", "length_constraints:nth_paragraph_first_word"),
    *("detectable_format:multiple_sections", "detectable_format:json_format"),
    *("combination:two_responses", "detectable_format:number_bullet_lists"),
)
#: Sets of kinds of which a prompt has one at most.
_EXCLUSIVE: tuple[frozenset[str], ...] = tuple(
    frozenset(group)
    for group in (
        _LAYOUTS,
        (*_CASE, "change_case:capital_word_frequency"),
        ("length_constraints:number_words", "length_constraints:number_sentences"),
        (*_CASE, "combination:repeat_prompt"),
        (*_CASE, "startend:end_checker"),
        (*_CASE, "detectable_content:postscript"),
        (*_CASE, "detectable_format:multiple_sections"),
        (*_CASE, "detectable_format:json_format"),
        ("startend:quotation", "combination:repeat_prompt", "detectable_format:json_format"),
        ("startend:end_checker", "detectable_content:postscript"),
        ("combination:repeat_prompt", "combination:two_responses"),
        ("startend:end_checker", "combination:two_responses"),
        ("detectable_content:postscript", "combination:two_responses"),
        ("detectable_format:number_highlighted_sections", "length_constraints:number_paragraphs"),
        ("detectable_format:number_highlighted_sections", "combination:two_responses"),
        ("detectable_format:number_highlighted_sections", "detectable_format:number_bullet_lists"),
        *(
            ("detectable_format:json_format", other)
            for other in (
                *("detectable_format:title", "startend:end_checker", "combination:repeat_prompt"),
                *("detectable_content:postscript", "punctuation:no_comma"),
            )
        ),
    )
)
#: Kinds that go with few others only, and which.
_CHOOSY: Mapping[str, frozenset[str]] = {
    "language:response_language": frozenset({"startend:quotation", "punctuation:no_comma"}),
    "detectable_format:constrained_response": frozenset(
        {"startend:quotation", "detectable_content:postscript", "punctuation:no_comma"}
    ),
}


def compatible(kinds: tuple[str, ...]) -> bool:
    """Whether one answer can follow all of these kinds."""
    if any(len(group.intersection(kinds)) > 1 for group in _EXCLUSIVE):
        return False
    return all(
        set(kinds) <= {choosy, *others} for choosy, others in _CHOOSY.items() if choosy in kinds
    )


@dataclass(frozen=True, slots=True)
class Composed:
    """One prompt, what it asks for, and an answer that follows it."""

    prompt: str
    kinds: tuple[str, ...]
    arguments: tuple[Arguments, ...]
    answer: str

    @property
    def split(self) -> Split:
        """Half of all prompts are test, a quarter each dev and reserve, by the prompt's hash."""
        bucket = int(content_hash(self.prompt), 16) % 4
        return "dev" if bucket == 0 else "reserve" if bucket == 1 else "test"

    @property
    def answered(self) -> bool:
        """Whether the answer does follow every instruction, by the checkers."""
        asked = zip(self.kinds, self.arguments, strict=True)
        return all(
            follows(kind, arguments, self.answer, splitter=plain_sentences)
            for kind, arguments in asked
        )


def compose(rng: Random, first: str) -> Composed:
    """A prompt of the kind `first` and up to two others that go with it."""
    kinds = _companions(rng, first)
    forms = QUESTIONS if "detectable_format:constrained_response" in kinds else REQUESTS
    request = rng.choice(forms).format(topic=rng.choice(TOPICS))
    arguments = tuple(KINDS[kind].draw(rng, request) for kind in kinds)
    asked = list(zip(kinds, arguments, strict=True))
    said = [KINDS[kind].wording(rng, own) for kind, own in asked]
    draft = Draft(request, rng.sample(FILLERS, 2))
    for kind, own in asked:
        KINDS[kind].comply(draft, own)
    return Composed(" ".join([request, *said]), kinds, arguments, draft.text())


def _companions(rng: Random, first: str) -> tuple[str, ...]:
    """`first` and as many others as the shares say, in the order they were found to go together."""
    wanted = rng.choices((1, 2, 3), SHARES)[0]
    kinds: tuple[str, ...] = (first,)
    for other in rng.sample(tuple(KINDS), len(KINDS)):
        if len(kinds) < wanted and other not in kinds and compatible((*kinds, other)):
            kinds = (*kinds, other)
    return kinds


def prompts(seed: int, split: Split, n: int = ITEMS) -> Iterator[Composed]:
    """The first `n` distinct prompts of a split; a longer list extends a shorter. Kinds take turns."""
    rng = Random(f"ifeval-fresh/{VERSION}/{seed}/{split}")
    seen: set[str] = set()
    names = tuple(KINDS)
    while len(seen) < n:
        made = compose(rng, names[len(seen) % len(names)])
        if made.split == split and made.prompt not in seen and made.answered:
            seen.add(made.prompt)
            yield made


def read_variant(text: str) -> tuple[int, Split]:
    """Seed and split of `7` or `7/reserve`.

    Raises:
        UsageError: it is written otherwise.
    """
    seed, _, split = text.partition("/")
    if not (seed.isascii() and seed.isdigit()) or (split or "test") not in SPLITS:
        raise UsageError(
            f"'{text}' is no seed with a split; write ifeval-fresh@7, or ifeval-fresh@7/reserve (also "
            "/dev and /test)."
        )
    return int(seed), cast(Split, split or "test")


_CARD = Card(
    measures="Whether an answer keeps to explicit, checkable instructions, on prompts nobody has seen.",
    not_measures=(
        "IFEval's figure, which is of other prompts; whether the answer is any good; variety of wording"
    ),
    source="composed by waterbed (suites/ifeval_fresh.py) from a seed",
    licence="Apache-2.0",
    revision=f"generator {VERSION}",
    items=ITEMS,
    verified=(
        "against our own rules alone: each prompt has an answer that scores 1; the checkers are those of "
        "`ifeval`, which equal the reference's"
    ),
)
_METRICS = (Metric("prompt_strict"), Metric("prompt_loose", gated=False))


@task(
    "ifeval-fresh",
    domain="instruction",
    version=VERSION,
    metrics=_METRICS,
    settings=SETTINGS,
    card=_CARD,
)
class IFEvalFresh(IFEval):
    """IFEval's rules on prompts of one seed; needs Punkt's parameters, as `ifeval` does."""

    def __init__(self, seed: int = 0, split: Split = "test") -> None:
        self.seed, self.split = seed, split

    @classmethod
    def variant(cls, text: str) -> Mapping[str, Any]:
        """What `ifeval-fresh@text` sets: the seed and the split."""
        seed, split = read_variant(text)
        return {"seed": seed, "split": split}

    def samples(self) -> Iterator[Sample]:
        self.splitter()
        for made in prompts(self.seed, self.split):
            target = {"instructions": list(made.kinds), "arguments": list(made.arguments)}
            name = content_hash([VERSION, self.seed, made.prompt])
            yield Sample(name, made.prompt, target, {"reference": made.answer})

    def reference(self, sample: Sample) -> str:
        """An answer that follows every instruction and is good for nothing else."""
        return str(sample.metadata["reference"])


@task(
    "ifeval-fresh-nopunkt",
    domain="instruction",
    version=VERSION,
    metrics=_METRICS,
    settings=SETTINGS,
    card=replace(
        _CARD,
        measures="The same prompts where Punkt's parameters are missing; sentences end by a plain rule.",
        verified="unverified: sentences are split by a rule of our own",
    ),
)
class IFEvalFreshWithoutPunkt(IFEvalFresh):
    """Fresh prompts with a sentence splitter that needs no parameters; runs everywhere."""

    def splitter(self) -> Splitter:
        return plain_sentences
