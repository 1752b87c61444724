"""Rewards by name: sums, masks, and a stop with the sample where a scorer breaks or could be forged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from forged_rewards import FORGERIES

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import InstrumentError, UsageError
from waterbed.harness.records import Generation, Sample, Score
from waterbed.harness.rewards import scorer, scorers
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.tasks import tasks
from waterbed.trainers.reward_sums import opened, spread
from waterbed.trainers.rollouts import Material, Sampled, gather

DATA = {"pocket/instruction-two@train": 40}


@pytest.fixture(scope="module")
def material(pocket_base: Checkpoint) -> Material:
    return gather(pocket_base, DATA, Sampled(n=2, max_tokens=24), StageContext(Path("x")), "grpo")


@pytest.fixture
def broken() -> Iterator[dict[str, Any]]:
    """A scorer `odd` that does what `behave` says."""
    box: dict[str, Any] = {}

    @scorer("odd")
    def odd(*_: Any) -> Any:
        return lambda samples, generations: [
            box["behave"](s, g) for s, g in zip(samples, generations, strict=True)
        ]

    yield box
    scorers.all()
    scorers._items.pop("odd", None)


def said(texts: Sequence[str]) -> list[Generation]:
    return [Generation(text, completion_tokens=len(text)) for text in texts]


def test_rewards_are_weighted_sums_of_scorers(material: Material) -> None:
    with opened(material, {"shortest": 2.0, "longest": -1.0}) as rewards:
        found = rewards.score([0, 1], said(["ab", "abcd"]))
    wanted = [2 / 3 - (1 - 1 / 3), 2 / 5 - (1 - 1 / 5)]
    assert found.totals == pytest.approx(wanted)
    assert found.figures["rewards/shortest/mean"] == pytest.approx((1 / 3 + 1 / 5) / 2)


def test_answers_that_other_prompts_get_too_are_counted_as_copies(material: Material) -> None:
    with opened(material, {"shortest": 1.0}) as rewards:
        own = rewards.score([0, 0, 1, 1], said(["a", "a", "b", "c"])).figures
        shared = rewards.score([0, 0, 1, 1], said(["a", "b", "b", "c"])).figures
    assert (own["duplicates"], shared["duplicates"]) == (0, 0.5)


def test_an_unscored_answer_has_no_reward_and_too_many_stop_the_stage(
    material: Material, broken: dict[str, Any]
) -> None:
    rows, texts = list(range(40)), said([f"{i}" for i in range(40)])
    broken["behave"] = lambda s, g: Score.unscored("timeout") if g.text == "7" else Score(1.0)
    with opened(material, {"odd": 1.0, "shortest": 1.0}) as rewards:
        found = rewards.score(rows, texts)
        assert [i for i, total in enumerate(found.totals) if total is None] == [7]
        assert found.figures["unscored"] == 1 / 40
        broken["behave"] = lambda s, g: Score.unscored("timeout") if g.text < "2" else Score(1.0)
        with pytest.raises(
            InstrumentError, match=rf"first: sample '{material.samples[0].id}'.*timeout"
        ):
            rewards.score(rows, texts)


@pytest.mark.parametrize("value", [math.nan, math.inf, 7.0])
def test_a_reward_that_is_no_number_stops_the_stage_with_its_sample(
    material: Material, broken: dict[str, Any], value: float
) -> None:
    broken["behave"] = lambda s, g: Score(value if g.text == "bad" else 1.0)
    with (
        opened(material, {"odd": 1.0}) as rewards,
        pytest.raises(InstrumentError, match=f"'odd' broke on sample '{material.samples[1].id}'"),
    ):
        rewards.score([0, 1, 2], said(["a", "bad", "c"]))


def test_a_reward_that_raises_stops_the_stage_with_its_sample(
    material: Material, broken: dict[str, Any]
) -> None:
    def fails(sample: Sample, generation: Generation) -> Score:
        if generation.text == "bad":
            raise KeyError("gold")
        return Score(1.0)

    broken["behave"] = fails
    with (
        opened(material, {"odd": 1.0}) as rewards,
        pytest.raises(InstrumentError, match=f"sample '{material.samples[2].id}'.*gold"),
    ):
        rewards.score([0, 1, 2], said(["a", "b", "bad"]))


def test_a_grader_that_raises_stops_the_stage_even_once(pocket_base: Checkpoint) -> None:
    found = gather(pocket_base, DATA, Sampled(max_tokens=24), StageContext(Path("x")), "grpo")
    found.samples[3] = Sample("torn", found.samples[3].input, target=None)
    with (
        opened(found, {"task": 1.0}) as rewards,
        pytest.raises(InstrumentError, match=r"'task' broke on sample 'torn'.*TypeError"),
    ):
        rewards.score(list(range(40)), said(["a"] * 40))


def test_what_cannot_be_a_reward_is_refused_by_name(
    material: Material, pocket_base: Checkpoint, tmp_path: Path
) -> None:
    for weights in ({}, {"task": 0.0}, {"task": math.nan}):
        with (
            pytest.raises(UsageError, match="at least one scorer"),
            opened(material, weights),
        ):
            pass
    with (
        pytest.raises(UsageError, match="nothing-such"),
        opened(material, {"nothing-such": 1.0}),
    ):
        pass
    file = tmp_path / "rows.jsonl"
    several = next(name for name, task in tasks.all().items() if task.multi_turn)
    file.write_text(json.dumps({"prompt": "Hi.", "task": several}) + "\n")
    with pytest.raises(UsageError, match=f"'{several}' is multi-turn"):
        gather(pocket_base, {str(file): None}, Sampled(), StageContext(tmp_path / "o"), "grpo")


def test_a_reward_model_is_a_reward(pocket_base: Checkpoint, tmp_path: Path) -> None:
    made = stages.get("reward-model").run(
        pocket_base, StageContext(tmp_path / "rm"), data={"pocket/chat-preferences@train": 32}
    )
    data = {"pocket/chat-prompts@train": 3}
    found = gather(pocket_base, data, Sampled(max_tokens=24), StageContext(tmp_path / "o"), "grpo")
    with opened(found, {f"reward-model:{made.path}": 1.0}) as rewards:
        seen = rewards.score([0, 1, 2], said(["Sure! Rest.", "Go away.", "Hm"]))
    assert all(total is not None and 0 < total < 1 for total in seen.totals)
    assert seen.figures["rewards/reward-model:rm/mean"] == pytest.approx(mean(seen.totals))


def test_the_spread_names_groups_without_signal() -> None:
    found = spread([1.0, 0.0, 0.5, 0.5, None, 1.0], 2)
    assert found["frac_reward_zero_std"] == pytest.approx(2 / 3)
    assert found["reward"] == pytest.approx(3 / 5)


def test_code_rewards_cannot_be_forged(pocket_base: Checkpoint, tmp_path: Path) -> None:
    data = {"pocket/code-prompts@train": len(FORGERIES) * 2}
    found = gather(pocket_base, data, Sampled(max_tokens=24), StageContext(tmp_path / "o"), "grpo")
    names = [sample.target["entry_point"] for sample in found.samples]
    texts = [FORGERIES[i % len(FORGERIES)].format(name=name) for i, name in enumerate(names)]
    with opened(found, {"task": 1.0}) as rewards:
        assert rewards.score(list(range(len(texts))), said(texts)).totals == [0.0] * len(texts)
