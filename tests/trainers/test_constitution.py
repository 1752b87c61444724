"""Rows from critiques, revisions and votes: well-formed, traceable, resumable, and food for stages.

The votes of `Judge` and the texts of `Writer` are scripted where a test is about what is made of them;
the pocket model, whose critiques are nonsense, runs everything for real in the last tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.api import make_backend
from waterbed.harness.backends.base import Ticket
from waterbed.harness.backends.fake import FakeBackend
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.config import load_config
from waterbed.harness.datasets import load
from waterbed.harness.errors import ConfigError, DataError, InstrumentError, UsageError
from waterbed.harness.records import Choice, Choose
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.constitution import (
    DEFAULT,
    Constitution,
    ConstitutionConfig,
    Principle,
    label,
)

KIND = Constitution(
    principles=(Principle(name="kind", critique="What was rude?", revision="Say it kindly."),)
)
CHECKPOINT = Checkpoint(Path("writer"), "d1")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERBED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"Question {i}?"}) + "\n" for i in range(6)))
    return str(file)


def writer(prompt: str) -> str:
    """Turns of the conversation, said back: a reader can see what was asked."""
    turns = json.loads(prompt)
    asked = turns[-1]["content"]
    if asked == "What was rude?":
        return f"rude: {turns[-2]['content']}"
    return f"kind: {turns[0]['content']}" if asked == "Say it kindly." else f"go away, {asked}"


class Judge(FakeBackend):
    """Votes by a function of the rendered ballot: the log-probability lead of letter A."""

    def __init__(self, lead: Callable[[str], float]) -> None:
        super().__init__(lambda prompt: prompt, identity="judge")
        self.lead = lead

    def answer(self, tickets: Sequence[Ticket]) -> Iterator[tuple[int, Any]]:
        for index, ticket in enumerate(tickets):
            assert isinstance(ticket.request, Choose)
            yield index, Choice((self.lead(ticket.rendered), 0.0), (1, 1))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_revision_is_asked_for_in_the_conversation_and_becomes_the_answer(
    prompts: str, tmp_path: Path
) -> None:
    config = ConstitutionConfig(prompts=prompts, n=1)
    made = label("revise", KIND, config, FakeBackend(writer), CHECKPOINT, tmp_path / "out")
    (row,) = rows_of(made.path)
    assert [t["content"] for t in row["messages"]] == ["Question 0?", "kind: Question 0?"]
    assert row["made"]["original"] == "go away, Question 0?"
    assert row["made"]["model"] == "d1"
    assert row["made"]["steps"] == [
        {
            "principle": "kind",
            "critique": "rude: go away, Question 0?",
            "revision": "kind: Question 0?",
        }
    ]
    assert load(str(made.path), shape="messages") == [{"messages": row["messages"]}]


def test_rounds_revise_the_revision(prompts: str, tmp_path: Path) -> None:
    config = ConstitutionConfig(prompts=prompts, n=2, rounds=3)
    made = label("revise", KIND, config, FakeBackend(writer), CHECKPOINT, tmp_path / "out")
    critiques = [step["critique"] for step in rows_of(made.path)[1]["made"]["steps"]]
    again = "rude: kind: Question 1?"
    assert critiques == ["rude: go away, Question 1?", again, again]


def sampled() -> Callable[[str], str]:
    """Another answer each time, as sampling gives."""
    said = iter(range(1000))
    return lambda prompt: f"answer {next(said):03}"


def prefers_lower(ballot: str) -> float:
    first, second = (ballot.split(f"Answer {x}: answer ")[1][:3] for x in "AB")
    return 1.5 if first < second else -0.5


def test_a_vote_that_both_orders_agree_on_makes_a_pair(prompts: str, tmp_path: Path) -> None:
    config = ConstitutionConfig(prompts=prompts)
    made = label(
        "prefer",
        KIND,
        config,
        FakeBackend(sampled()),
        CHECKPOINT,
        tmp_path / "out",
        judge=Judge(prefers_lower),
    )
    rows = rows_of(made.path)
    assert (made.rows, made.dropped) == (6, {})
    assert all(r["chosen"][0]["content"] < r["rejected"][0]["content"] for r in rows)
    assert {(r["made"]["principle"], r["made"]["lead"]) for r in rows} == {("kind", 1.0)}
    assert len(load(str(made.path), shape="preference")) == 6


def test_a_vote_that_the_order_decides_makes_no_row(prompts: str, tmp_path: Path) -> None:
    config, backend = ConstitutionConfig(prompts=prompts), FakeBackend(sampled())
    always_a = Judge(lambda ballot: 2.0)
    with pytest.raises(DataError, match="None of 6 prompts gave a row \\(6 order_decides\\)"):
        label("prefer", KIND, config, backend, CHECKPOINT, tmp_path / "out", judge=always_a)


def test_equal_empty_and_unusable_answers_are_counted_not_written(
    prompts: str, tmp_path: Path
) -> None:
    def odd(prompt: str) -> str:
        said = writer(prompt)
        number = said.split("Question ")[-1][0]
        return {"1": "", "2": "bell \x07"}.get(number, said)

    config = ConstitutionConfig(prompts=prompts)
    made = label("revise", KIND, config, FakeBackend(odd), CHECKPOINT, tmp_path / "a")
    assert (made.rows, made.dropped) == (4, {"empty": 1, "unusable": 1})
    same = FakeBackend(lambda prompt: "the same")
    with pytest.raises(DataError, match="6 equal_answers"):
        label("prefer", KIND, config, same, CHECKPOINT, tmp_path / "b", judge=Judge(prefers_lower))


def test_a_killed_call_goes_on_where_it_stopped_and_gives_the_same_rows(
    prompts: str, tmp_path: Path
) -> None:
    config, asked = ConstitutionConfig(prompts=prompts), []

    def fails(prompt: str) -> str:
        asked.append(prompt)
        if len(asked) == 10:
            raise RuntimeError("killed")
        return writer(prompt)

    one = FakeBackend(fails, batch_size=1)
    with pytest.raises(InstrumentError, match="killed"):
        label("revise", KIND, config, one, CHECKPOINT, tmp_path / "out")
    answered = len((tmp_path / "out" / "answers.jsonl").read_text().splitlines())
    assert answered == 9
    made = label("revise", KIND, config, one, CHECKPOINT, tmp_path / "out")
    assert len(asked) == 10 + 18 - answered
    whole = label("revise", KIND, config, FakeBackend(writer), CHECKPOINT, tmp_path / "whole")
    assert made.path.read_bytes() == whole.path.read_bytes()


def test_other_principles_do_not_go_on_with_a_begun_folder(prompts: str, tmp_path: Path) -> None:
    config, backend = ConstitutionConfig(prompts=prompts), FakeBackend(writer)
    label("revise", KIND, config, backend, CHECKPOINT, tmp_path / "out")
    with pytest.raises(UsageError, match="choose another --out"):
        label("revise", DEFAULT, config, backend, CHECKPOINT, tmp_path / "out")


def test_principles_are_drawn_by_weight_and_the_same_again() -> None:
    rare, often = (
        Principle(name=name, critique="c", revision="r", weight=weight)
        for name, weight in (("rare", 1), ("often", 9))
    )
    rules = Constitution(principles=(rare, often))
    drawn = [rules.draw(0, place).name for place in range(1000)]
    assert 60 < drawn.count("rare") < 140
    assert drawn == [rules.draw(0, place).name for place in range(1000)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("principles: []\n", ":1: 'principles': there is no principle; write at least one"),
        ("principles:\n- name: a\n  critique: b\n", "'principles.0.revision' is missing"),
        (
            "principles:\n- name: a\n  critique: b\n  revision: c\n  wieght: 2\n",
            ":5: unknown key 'wieght'; did you mean 'weight'?",
        ),
        (
            "principles:\n- name: a\n  critique: b\n  revision: c\n  weight: 0\n",
            ":5: 'principles.0.weight' should be greater than 0",
        ),
        (
            "principles:\n" + "- {name: a, critique: b, revision: c}\n" * 2,
            "two principles are called 'a'",
        ),
    ],
)
def test_a_wrong_file_of_principles_is_named_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "principles.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_config(file, Constitution)
    assert said in str(refused.value)


@pytest.mark.parametrize("setting", ["rounds", "max_tokens", "temperature"])
def test_settings_that_mean_nothing_are_named(setting: str) -> None:
    with pytest.raises(ValueError, match=setting):
        ConstitutionConfig(prompts="x", **{setting: 0})


def test_the_pocket_model_revises_into_rows_that_sft_learns(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    backend = make_backend("transformers", pocket_base, {"batch_size": 16})
    config = ConstitutionConfig(prompts="pocket/chat@train", n=24, max_tokens=48)
    made = label("revise", DEFAULT, config, backend, pocket_base, tmp_path / "out")
    assert made.rows + sum(made.dropped.values()) == 24
    assert made.rows > 0
    row = rows_of(made.path)[0]
    assert row["made"]["model"] == pocket_base.digest
    tuned = stages.get("sft").run(
        pocket_base, StageContext(tmp_path / "sft"), data={str(made.path): None}
    )
    assert tuned.parent == pocket_base.digest


def test_the_pocket_model_votes_into_pairs_that_dpo_learns(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    backend = make_backend("transformers", pocket_base, {"batch_size": 16})
    # It knows its refusals by heart: only a hot draw gives two answers to choose from.
    config = ConstitutionConfig(
        prompts="pocket/safety@train", n=120, max_tokens=48, temperature=2.0
    )
    made = label("prefer", DEFAULT, config, backend, pocket_base, tmp_path / "out")
    assert made.rows + sum(made.dropped.values()) <= 120  # prompts repeat in generated data
    tuned = stages.get("dpo").run(
        pocket_base, StageContext(tmp_path / "dpo"), data={str(made.path): None}
    )
    assert tuned.parent == pocket_base.digest
