"""IFEval: 541 prompts with 834 instructions a program can check (Zhou et al., 2023, arXiv:2311.07911).

An answer is checked as it is (strict) and in eight forms (loose): whole, without its first line, without
its last line, without both, and each of these without asterisks. An instruction is followed loosely
where any form follows it. `prompt_strict`, the headline, asks for all instructions of a prompt.

Two tasks: `ifeval` is exact and needs NLTK's Punkt parameters; `ifeval-nopunkt` does without them, and
therefore counts sentences and capital words a little differently and has another name.

Data: WATERBED_DATA/ifeval/input_data.jsonl and nowhere else. A sample's id is its key ("1000"). Not
here: what each instruction means (ifeval_rules.py), the removal of thinking (the backend's).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..harness.folders import data_file
from ..harness.jsonl import read_jsonl
from ..harness.records import Generation, GenerationSettings, Prompt, Sample, Score, user
from ..harness.tasks import Card, Metric, task
from .ifeval_rules import follows
from .ifeval_sentences import Splitter, plain_sentences, punkt

_COMMIT = "d76be322625d4401655660f0f02681f96eb6783a"
_SHA256 = "67ffeee0fcb87c317c5b08a2de85557b4a7e96ada6178aa645b4954fe4b53d49"


def loose_forms(response: str) -> list[str]:
    """The forms of an answer the loose check accepts, itself first, each once."""
    lines = response.split("\n")
    cuts = ["\n".join(kept).strip() for kept in (lines[1:], lines[:-1], lines[1:-1])]
    forms = [form for cut in (response, *cuts) for form in (cut, cut.replace("*", ""))]
    return list(dict.fromkeys(forms))


def grade_response(
    instructions: Sequence[str],
    arguments: Sequence[Mapping[str, Any]],
    generation: Generation,
    splitter: Splitter | None = None,
) -> Score:
    """Score one answer: 1 where it follows every instruction as it is.

    Args:
        instructions: instruction ids, possibly one twice.
        arguments: the arguments of each.
        splitter: see `ifeval_rules.follows`.

    Raises:
        UnknownName, DataError, UsageError: see `ifeval_rules.follows`.
    """
    response, asked = generation.text, list(zip(instructions, arguments, strict=True))
    strict = [follows(name, kwargs, response, splitter=splitter) for name, kwargs in asked]
    _, *others = loose_forms(response) if not all(strict) else [response]
    loose = [
        followed or any(follows(name, kwargs, form, splitter=splitter) for form in others)
        for followed, (name, kwargs) in zip(strict, asked, strict=True)
    ]
    return Score(
        float(all(strict)),
        None if all(strict) else _fault(generation),
        metrics={"prompt_loose": float(all(loose))},
        detail={"instructions": list(instructions), "strict": strict, "loose": loose},
    )


def _fault(generation: Generation) -> str:
    if not generation.text.strip():
        return "empty"
    return "truncated" if generation.truncated else "wrong"


_CARD = Card(
    measures="Whether an answer keeps to explicit, checkable instructions about form and wording.",
    not_measures="Whether the answer is any good; instructions that need judgement.",
    source="github.com/google-research/google-research, instruction_following_eval",
    licence="Apache-2.0",
    revision=_COMMIT,
    items=541,
    reference={"GPT-4 (2023-11)": 0.7689},
    verified=(
        "against the reference checker on the authors' 541 GPT-4 answers (834 instructions, strict and "
        "loose) and on 2,230 mutated and hand-made ones"
    ),
)
_METRICS = (Metric("prompt_strict"), Metric("prompt_loose", gated=False))
SETTINGS = GenerationSettings(max_tokens=1280)


@task(
    "ifeval",
    domain="instruction",
    metrics=_METRICS,
    settings=SETTINGS,
    groups=("core", "full"),
    card=_CARD,
)
class IFEval:
    """IFEval, exact: the verdicts of the reference checker, its random ones fixed.

    Fixed are langdetect's seed (0) and the two prompts whose `letter` is no letter (1122: `#`, 1129:
    `!`): the reference draws a random letter for them, here the character itself is counted.
    """

    def splitter(self) -> Splitter:
        """How text is split into sentences; refuses where that cannot be done exactly."""
        return punkt()

    def samples(self) -> Iterator[Sample]:
        self.splitter()
        where = f"instruction_following_eval/data/input_data.jsonl of google-research @ {_COMMIT}"
        for row in read_jsonl(data_file("ifeval/input_data.jsonl", _SHA256, where)):
            target = {"instructions": row["instruction_id_list"], "arguments": row["kwargs"]}
            yield Sample(str(row["key"]), row["prompt"], target)

    def prompt(self, sample: Sample) -> Prompt:
        return user(sample.input)

    def grade(self, sample: Sample, generation: Generation) -> Score:
        asked = sample.target
        return grade_response(
            asked["instructions"], asked["arguments"], generation, self.splitter()
        )

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """Accuracy over instructions, strict and loose, and strict over each kind of instruction."""
        verdicts: defaultdict[str, list[bool]] = defaultdict(list)
        for detail in (score.detail for own in scores.values() for score in own):
            verdicts["inst_strict"] += detail["strict"]
            verdicts["inst_loose"] += detail["loose"]
            for kind, followed in zip(detail["instructions"], detail["strict"], strict=True):
                verdicts[f"strict/{kind}"].append(followed)
        return {name: sum(found) / len(found) for name, found in sorted(verdicts.items())}


@task(
    "ifeval-nopunkt",
    domain="instruction",
    metrics=_METRICS,
    settings=SETTINGS,
    card=Card(
        measures="IFEval where Punkt's parameters are missing; sentence ends are found by a plain rule.",
        not_measures="The official figure: number_sentences and capital_word_frequency differ.",
        source=_CARD.source,
        licence=_CARD.licence,
        revision=_COMMIT,
        items=541,
        verified="unverified: sentences are split by a rule of our own",
    ),
)
class IFEvalWithoutPunkt(IFEval):
    """IFEval with a sentence splitter that needs no parameters, hence under another name."""

    def splitter(self) -> Splitter:
        return plain_sentences
