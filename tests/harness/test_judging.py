"""Verdicts are read strictly, both orders are asked, and a judge's failure is nobody's 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from waterbed.harness.backends.fake import FakeBackend
from waterbed.harness.errors import DataError
from waterbed.harness.judge_report import report
from waterbed.harness.judging import (
    KEY,
    Chosen,
    Contest,
    Game,
    JudgePrompt,
    Lost,
    Written,
    asked_again,
    duel,
    grade,
    markers,
)
from waterbed.harness.records import (
    Choice,
    Fault,
    Generate,
    Generation,
    GenerationSettings,
    Sample,
    Score,
    user,
)
from waterbed.harness.runner import Runner
from waterbed.harness.tasks import Card, Metric, Task

VERDICT = Written({"A": Game(1.0), "B": Game(0.0), "C": Game(0.5)}, (r"\[\[([ABC])\]\]",))
PROMPT = JudgePrompt("{question}\nOne: {first}\nTwo: {second}", "Be fair.")
SHORT = GenerationSettings(max_tokens=8)


def played(conversation: Any, *answers: Any) -> Any:
    """What a conversation returns when it is sent these answers, and what it asked."""
    asked, pending = [], list(answers)
    try:
        request = next(conversation)
        while True:
            asked.append(request)
            request = conversation.send(pending.pop(0))
    except StopIteration as finished:
        assert not pending
        return finished.value, asked


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("A is best. [[A]]", Game(1.0)),
        ("[[C]]", Game(0.5)),
        ("[[A]] and again [[A]]", Game(1.0)),
        ("[[A]] no, [[B]]", Lost("judge_ambiguous", "[[A]] no, [[B]]")),
        ("A", Lost("judge_unparsed", "A")),
        ("[[D]]", Lost("judge_unparsed", "[[D]]")),
        ("", Lost("judge_unparsed", "")),
    ],
)
def test_a_written_verdict_is_one_label_or_none(text: str, read: Game | Lost) -> None:
    assert VERDICT.read(text) == read


def test_the_last_label_counts_where_a_benchmark_says_so() -> None:
    last = Written(VERDICT.labels, VERDICT.patterns, take="last")
    assert last.read("[[A]] no, [[B]]") == Game(0.0)


def test_a_verdict_that_was_cut_is_lost_though_it_has_a_label() -> None:
    cut = Generation("[[A]] because", stop_reason="length")
    found, _ = played(VERDICT.ask(user("x")), cut)
    assert found == Lost("judge_truncated", "[[A]] because")
    assert (found.score.value, found.score.reason) == (None, "judge_truncated")


def test_log_probabilities_become_a_share() -> None:
    found, _ = played(Chosen(("A", "B")).ask(user("x")), Choice((-1.0, -2.0), (1, 1)))
    assert found.share == pytest.approx(0.7310586)
    sure, _ = played(Chosen(("A", "B")).ask(user("x")), Choice((-9000.0, -1.0), (1, 1)))
    assert sure.share == pytest.approx(0.0)


def test_both_orders_are_asked_and_the_first_once_more() -> None:
    prompts = user("mine first"), user("mine second")
    said = [Generation("[[A]]"), Generation("[[B]]"), Generation("[[A]]")]
    found, asked = played(duel(("x", "y"), prompts, VERDICT, again=True), *said)
    assert [r.prompt for r in asked] == [prompts[0], prompts[1], prompts[0]]
    assert {r.role for r in asked} == {"judge"}
    assert (found.share, found.again) == (1.0, Game(1.0))


def test_a_judge_that_always_takes_the_first_gives_half() -> None:
    said = [Generation("[[A]]"), Generation("[[A]]")]
    found, _ = played(duel(("x", "y"), (user("a"), user("b")), VERDICT, again=False), *said)
    assert found.share == 0.5


def test_nobody_is_asked_about_the_same_text_twice() -> None:
    found, asked = played(duel(("x ", "x"), (user("a"), user("b")), VERDICT, again=True))
    assert (found.share, asked) == (0.5, [])


@pytest.mark.parametrize(
    ("text", "read"),
    [("Rating: [[7.5]]", 7.5), ("[6]", 6.0), ("[[3]] then [[9]]", 3.0), ("[[11]]", None), ("7", None)],
)  # fmt: skip
def test_a_grade_is_the_first_number_in_brackets(text: str, read: float | None) -> None:
    found, asked = played(grade(user("x"), SHORT), Generation(text))
    assert found == (read if read is not None else Lost("judge_unparsed", text))
    assert asked == [Generate(user("x"), SHORT, "judge")]


def test_what_is_filled_in_is_never_a_place() -> None:
    filled = PROMPT.fill(question="{first}", first="{second}", second="{question}")
    assert [t.content for t in filled] == ["Be fair.", "{first}\nOne: {second}\nTwo: {question}"]


def test_a_prompt_with_other_places_is_refused() -> None:
    with pytest.raises(DataError, match=r"\['first', 'question', 'second'\]"):
        PROMPT.fill(question="x")


def test_an_answer_that_no_model_can_be_asked_about_is_cleaned_before_it_is_judged() -> None:
    asked = PROMPT.fill(question="?", first="\ud800A", second="{question}")
    text = asked[-1].content
    text.encode()
    assert "\N{REPLACEMENT CHARACTER}A" in text and text.endswith("Two: {question}")


def test_the_prompts_hash_changes_with_either_turn() -> None:
    others = JudgePrompt(PROMPT.text, "Be kind."), JudgePrompt(PROMPT.text + ".", PROMPT.system)
    assert len({PROMPT.hash, *(o.hash for o in others)}) == 3


def test_markers_are_the_long_lines_of_a_prompt() -> None:
    prompt = JudgePrompt("Question\nHere are the unordered answers of two: {answers}\nShort.")
    assert markers([prompt]) == {"Here are the unordered answers of two:"}


def test_the_same_samples_are_asked_again_whatever_their_order() -> None:
    samples = [Sample(str(n), n) for n in range(200)]
    assert asked_again(samples) == asked_again(samples[::-1])
    assert len(asked_again(samples)) == 50


class _Judged:
    """Two words, one judge."""

    contest = Contest(PROMPT, ("first", "second"), VERDICT, frozenset({"0"}))

    def samples(self) -> list[Sample]:
        return [Sample(str(n), f"question {n}", f"other {n}") for n in range(20)]

    def prompt(self, sample: Sample) -> str:
        return str(sample.input)

    def grade(self, sample: Sample, generation: Generation) -> Any:
        pair = generation.text, sample.target
        return self.contest.score(sample, pair, {"question": sample.input})


@pytest.fixture
def scored() -> Callable[[Callable[[str], str | Fault]], list[Score]]:
    """Twenty answers before a judge that is a function."""
    task = Task("judged", "chat", "1", "completion", (Metric("win"),), SHORT, 1, (), ("judge",), Card(""), _Judged)  # fmt: skip

    def score(judge: Callable[[str], str | Fault]) -> list[Score]:
        answers = [(s, Generation(f"answer {s.id}")) for s in task.items]
        return Runner({"judge": FakeBackend(judge)}).score(task, answers)

    return score


Scored = Callable[[Callable[[str], Any]], list[Score]]


def test_a_judge_that_knows_what_it_likes_is_followed(scored: Scored) -> None:
    fond = scored(
        lambda asked: "[[A]]" if asked.index("answer") < asked.index("other") else "[[B]]"
    )
    assert [s.value for s in fond] == [1.0] * 20
    assert [len(s.detail[KEY]["games"]) for s in fond] == [2] * 20
    assert ["again" in s.detail[KEY] for s in fond] == [s == 0 for s in range(20)]


@pytest.mark.parametrize(
    ("said", "reason"),
    [("I cannot say.", "judge_unparsed"), (Fault("timeout"), "timeout"), ("[[A]] [[B]]", "judge_ambiguous")],
)  # fmt: skip
def test_a_judges_failure_is_never_a_zero(scored: Scored, said: str | Fault, reason: str) -> None:
    lost = scored(lambda _: said)
    assert {(s.value, s.reason) for s in lost} == {(None, reason)}


def test_the_report_says_which_prompts_a_judge_could_not_repeat(scored: Scored) -> None:
    fond = scored(
        lambda asked: "[[A]]" if asked.index("answer") < asked.index("other") else "[[B]]"
    )
    shown = report({"reading": "written", "absent": {"kappa": "no labels"}}, fond)
    assert shown["reliability"]["repeats"] == 1
    assert "self-consistency was measured on 1 prompts" in shown["reliability"]["problems"]
    assert shown["absent"]["kappa"] == "no labels"
