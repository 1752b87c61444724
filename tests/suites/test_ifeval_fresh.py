"""Fresh IFEval-style prompts: all kinds, compatible, answerable, repeatable, and other ones for each seed."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.errors import UsageError
from waterbed.harness.records import Generation
from waterbed.harness.tasks import Task, resolve
from waterbed.suites.ifeval import grade_response
from waterbed.suites.ifeval_fresh import SPLITS, compatible, prompts
from waterbed.suites.ifeval_fresh_kinds import KINDS
from waterbed.suites.ifeval_fresh_words import FILLERS, REQUESTS, TOPICS, WORDS
from waterbed.suites.ifeval_rules import INSTRUCTIONS
from waterbed.suites.ifeval_sentences import plain_sentences


def fresh(variant: str = "") -> Task:
    return resolve([f"ifeval-fresh-nopunkt{variant}"])[0]


def texts(variant: str) -> set[str]:
    return {str(sample.input) for sample in fresh(variant).items}


def test_every_kind_of_ifeval_is_asked_for_in_every_split() -> None:
    assert set(KINDS) == set(INSTRUCTIONS)
    for split in SPLITS:
        asked = Counter(kind for made in prompts(0, split) for kind in made.kinds)
        assert min(asked[kind] for kind in INSTRUCTIONS) >= 500 // 25


def test_prompts_ask_for_one_to_three_kinds_about_as_often_as_ifeval() -> None:
    sizes = Counter(len(made.kinds) for made in prompts(3, "test"))
    assert set(sizes) == {1, 2, 3}
    assert 0.5 < sizes[1] / 500 < 0.65
    assert 0.25 < sizes[2] / 500 < 0.4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_prompt_can_be_followed_strictly_and_to_the_letter(seed: int) -> None:
    for split in SPLITS:
        for made in prompts(seed, split):
            score = grade_response(
                made.kinds, made.arguments, Generation(made.answer), plain_sentences
            )
            assert (score.value, score.metrics["prompt_loose"]) == (1.0, 1.0), made.prompt
            assert compatible(made.kinds)


def test_nearly_every_compatible_pair_of_kinds_is_answerable_as_drawn() -> None:
    """Only words that are both wanted and forbidden may have to be drawn again."""
    pairs = [pair for pair in combinations(KINDS, 2) if compatible(pair)]
    met = {
        pair
        for seed in range(12)
        for made in prompts(seed, "test")
        for pair in combinations(KINDS, 2)
        if set(pair) <= set(made.kinds)
    }
    assert met <= set(pairs)
    assert len(met) > 0.95 * len(pairs)


def test_kinds_that_contradict_each_other_are_never_asked_for_together() -> None:
    for pair in [
        ("change_case:english_capital", "change_case:english_lowercase"),
        ("startend:quotation", "combination:repeat_prompt"),
        ("detectable_format:json_format", "detectable_format:title"),
        ("language:response_language", "change_case:english_lowercase"),
        ("detectable_format:constrained_response", "combination:two_responses"),
    ]:
        assert not compatible(pair)


def test_the_same_seed_gives_the_same_prompts_and_another_seed_others() -> None:
    assert [s.id for s in fresh("@7").items] == [s.id for s in fresh("@7/test").items]
    assert [s.id for s in fresh("@0").items] == [s.id for s in fresh().items]
    shared = texts("@7") & texts("@8")
    assert len(shared) < 0.1 * 500
    assert not {s.id for s in fresh("@7").items} & {s.id for s in fresh("@8").items}


def test_a_longer_list_extends_a_shorter_one() -> None:
    assert list(prompts(0, "dev", 60))[:40] == list(prompts(0, "dev", 40))


def test_no_prompt_is_in_two_splits_whatever_the_seeds() -> None:
    splits = [texts(f"@1/{split}") | texts(f"@2/{split}") for split in SPLITS]
    for one, other in combinations(splits, 2):
        assert not one & other


def test_words_that_are_asked_for_or_forbidden_are_in_no_request_and_no_filler() -> None:
    words = " ".join([*FILLERS, *REQUESTS, *TOPICS]).lower()
    assert [word for word in WORDS if re.search(word, words)] == []


def test_strict_and_loose_verdicts_are_ifevals() -> None:
    task = fresh()
    sample = next(s for s in task.items if s.target["instructions"] == ["startend:quotation"])
    answers = ['"All of it."', 'Here it is:\n"All of it."', "All of it."]
    scores = [task.body.grade(sample, Generation(text)) for text in answers]
    assert [s.value for s in scores] == [1.0, 0.0, 0.0]
    assert [s.metrics["prompt_loose"] for s in scores] == [1.0, 1.0, 0.0]


def test_punkt_and_the_plain_rule_agree_on_every_answer() -> None:
    try:
        task = resolve(["ifeval-fresh@5"])[0]
        items = task.items
    except UsageError as error:
        pytest.skip(str(error))
    given = [Generation(str(task.reference(sample))) for sample in items]
    scores = [task.body.grade(s, g) for s, g in zip(items, given, strict=True)]
    assert {score.value for score in scores} == {1.0}


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "7/train", "/dev", "٣"])
def test_a_bad_seed_or_split_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="is no seed with a split"):
        fresh(f"@{text}")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**12), st.sampled_from(SPLITS))
def test_any_seed_has_answerable_prompts_of_its_split(seed: int, split: str) -> None:
    for made in prompts(seed, split, 10):  # type: ignore[arg-type]
        assert made.split == split
        assert made.answered
