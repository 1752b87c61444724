"""GRPO, RLOO and REINFORCE: advantages and losses equal values by hand, and the stages do what they say."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import TrainingDiverged, UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.stage_config import from_settings, from_yaml, to_yaml
from waterbed.trainers import policy_gradient, policy_trainer, ppo, reward_signs, trl_base
from waterbed.trainers.policy_trainer import batch_advantages

SETTINGS: dict[str, Any] = {
    "data": {"pocket/instruction-two@train": 16},
    "sampled": {"n": 4, "max_tokens": 24},
    "batch_size": 16,
    "save_every": 1,
}
REWARDS: list[float | None] = [1.0, 0.0, 0.25, None, 0.5, 0.5, 0.5, 0.5]


def grpo_advantages(group: Sequence[float | None]) -> list[float]:
    """Shao et al. 2024, section 4.1.2: (r - mean) / std within the group; TRL adds 1e-4 to the latter."""
    scored = [r for r in group if r is not None]
    return [0.0 if r is None else (r - mean(scored)) / (stdev(scored) + 1e-4) for r in group]


def rloo_advantages(group: Sequence[float | None]) -> list[float]:
    """Ahmadian et al. 2024, section 2.3: r less the mean of the others."""
    scored = [r for r in group if r is not None]
    return [0.0 if r is None else r - (sum(scored) - r) / (len(scored) - 1) for r in group]


Batch = dict[str, Any]


def captured(
    monkeypatch: pytest.MonkeyPatch, base: Checkpoint, out: Path, hand: Any, name: str, **given: Any
) -> list[Batch]:
    """What two steps on one batch saw, with REWARDS instead of the grader's.

    For each step: TRL's loss and advantages, prompts, and the log-probabilities of each answer's tokens by
    hand, of the model and of the one that training began with.
    """
    from waterbed.harness.backends.loading import load
    from waterbed.trainers import reward_sums

    seen: list[Batch] = []
    plain = policy_gradient.watching

    reference = load(base.path, "cpu", "float32", trust_remote_code=False).model
    plain_totals = given.pop("totals", lambda _: list(REWARDS))

    def score(self: Any, rows: Any, generations: Any) -> Any:
        return reward_sums.Rewarded(plain_totals(generations), {})

    def watching(*args: Any, **kwargs: Any) -> type[Any]:
        made = plain(*args, **kwargs)

        def compute_loss(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            parts = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
            logps, refs, prompts, texts = [], [], [], []
            for p, pm, c, cm in zip(*(inputs[x].tolist() for x in parts), strict=True):
                shown, said = (
                    [t for t, m in zip(x, y, strict=True) if m] for x, y in ((p, pm), (c, cm))
                )
                logps.append(hand.answer_logps(model, [*shown, *said], len(said)))
                refs.append(hand.answer_logps(reference, [*shown, *said], len(said)))
                prompts.append(tuple(shown))
                texts.append(self.processing_class.decode(said, skip_special_tokens=True))
            loss = made.compute_loss(self, model, inputs, *args, **kwargs)
            told = {"loss": float(loss.detach()), "A": inputs["advantages"].tolist()}
            seen.append({**told, "logps": logps, "refs": refs, "prompts": prompts, "texts": texts})
            return loss

        return type(made.__name__, (made,), {"compute_loss": compute_loss})

    monkeypatch.setattr(reward_sums.Rewards, "score", score)
    monkeypatch.setattr(policy_gradient, "watching", watching)
    steps = {"iterations": 2, "max_steps": 2, "batch_size": 8, "save_every": None}
    rates = {"lr": 3e-3, "warmup": 0.0}
    # Answers to sums differ; equal ones in a group would cancel each other out.
    data = {"data": {"pocket/math-prompts@train": 16}}
    stages.get(name).run(base, StageContext(out), **{**SETTINGS, **data, **steps, **rates, **given})
    return seen


def cut(ratio: float, epsilon: float = 0.2) -> float:
    return min(max(ratio, 1 - epsilon), 1 + epsilon)


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_grpo_equals_the_paper_by_hand(
    pocket_base: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by_hand: Any,
    beta: float,
) -> None:
    seen = captured(monkeypatch, pocket_base, tmp_path / "out", by_hand, "grpo", beta=beta)
    wanted = grpo_advantages(REWARDS[:4]) + grpo_advantages(REWARDS[4:])
    assert sorted(seen[0]["A"]) == pytest.approx(sorted(wanted), abs=1e-4)
    old = seen[0]["logps"]  # the reference, too: training begins there
    moved = 0
    for batch in seen:
        total, tokens = 0.0, 0
        for a, news, olds in zip(batch["A"], batch["logps"], old, strict=True):
            for new, before in zip(news, olds, strict=True):
                ratio = math.exp(new - before)
                moved += abs(ratio - 1) > 0.2
                kl = math.exp(before - new) - (before - new) - 1  # Shao et al. 2024, eq. 4
                total -= min(ratio * a, cut(ratio) * a) - beta * kl  # eq. 3
                tokens += 1
        assert batch["loss"] == pytest.approx(total / tokens, rel=1e-4, abs=2e-4)
    assert moved > 0, "no ratio left the bounds, so nothing was clipped"


def test_rloo_equals_the_paper_by_hand(
    pocket_base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_hand: Any
) -> None:
    seen = captured(monkeypatch, pocket_base, tmp_path / "out", by_hand, "rloo", beta=0.05, lr=1e-2)
    # At the start the model is its own reference, so the KL part of the reward is 0.
    wanted = rloo_advantages(REWARDS[:4]) + rloo_advantages(REWARDS[4:])
    assert sorted(seen[0]["A"]) == pytest.approx(sorted(wanted), abs=1e-4)
    sequence_losses(seen)


def by_letters(text: str) -> float:
    """A reward that differs from answer to answer."""
    return sum(map(ord, text)) % 7 / 7


def test_rloo_pays_for_distance_from_where_it_began(
    pocket_base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_hand: Any
) -> None:
    """Ahmadian et al. 2024, eq. 3: an answer earns r - beta log(pi / pi_ref), of the whole answer."""
    beta, given = 0.3, {"iterations": 1, "lr": 1e-2}
    given["totals"] = lambda answers: [by_letters(answer.text) for answer in answers]
    seen = captured(monkeypatch, pocket_base, tmp_path / "out", by_hand, "rloo", beta=beta, **given)
    for batch in seen:
        earned: dict[tuple[int, ...], list[float]] = {}
        wanted: dict[tuple[int, ...], list[float]] = {}
        for prompt, text, a, news, refs in zip(
            *(batch[name] for name in ("prompts", "texts", "A", "logps", "refs")), strict=True
        ):
            paid = by_letters(text) - beta * (sum(news) - sum(refs))
            earned.setdefault(prompt, []).append(paid)
            wanted.setdefault(prompt, []).append(a)
        for prompt, group in earned.items():
            assert wanted[prompt] == pytest.approx(rloo_advantages(group), abs=2e-3)
    apart = [sum(n) - sum(r) for n, r in zip(seen[1]["logps"], seen[1]["refs"], strict=True)]
    assert max(map(abs, apart)) > 0.1, "the model has not moved, so nothing was paid"


def test_reinforce_holds_each_answer_against_all_others_of_the_batch(
    pocket_base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_hand: Any
) -> None:
    seen = captured(monkeypatch, pocket_base, tmp_path / "out", by_hand, "reinforce", lr=1e-2)
    assert sorted(seen[0]["A"]) == pytest.approx(sorted(rloo_advantages(REWARDS)), abs=1e-5)
    assert batch_advantages(REWARDS) == pytest.approx(rloo_advantages(REWARDS))
    assert batch_advantages([None, 0.5]) == [0.0, 0.0]
    sequence_losses(seen)


def sequence_losses(seen: list[Batch]) -> None:
    """Each loss is the mean over answers of the clipped surrogate with the ratio of whole answers."""
    old = seen[0]["logps"]
    ratios = []
    for batch in seen:
        ratios = [math.exp(sum(n) - sum(o)) for n, o in zip(batch["logps"], old, strict=True)]
        losses = [-min(r * a, cut(r) * a) for r, a in zip(ratios, batch["A"], strict=True)]
        assert batch["loss"] == pytest.approx(mean(losses), abs=1e-3)
    assert any(abs(ratio - 1) > 0.2 for ratio in ratios)


@pytest.mark.parametrize("name", ["grpo", "rloo", "reinforce"])
def test_a_killed_stage_goes_on_to_the_same_digest(
    pocket_base: Checkpoint, tmp_path: Path, name: str
) -> None:
    whole = stages.get(name).run(pocket_base, StageContext(tmp_path / "whole"), **SETTINGS)
    assert whole.digest != pocket_base.digest
    out, steps = tmp_path / "out", []

    def die(what: str, done: int, total: int) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            stages.get(name).run(pocket_base, StageContext(out, progress=die), **SETTINGS)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    context = StageContext(out, progress=lambda what, done, total: steps.append(done))
    again = stages.get(name).run(pocket_base, context, **SETTINGS)
    assert steps[0] == 3
    assert again.digest == whole.digest
    lines = [json.loads(x) for x in context.metrics_path.read_text(encoding="utf-8").splitlines()]
    told = {"reward", "reward_std", "frac_reward_zero_std", "entropy", "completions/mean_length"}
    assert told | {"duplicates", "unscored", "kl"} <= lines[0].keys()


@pytest.mark.parametrize("name", ["grpo", "ppo"])
def test_signs_of_hacking_are_looked_for_up_to_the_last_step(
    pocket_base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in (trl_base, ppo):
        monkeypatch.setattr(module, "EVERY", 1)
    monkeypatch.setattr(reward_signs, "LEAST", 4)
    monkeypatch.setattr(reward_signs, "GROWTH", 0.1)  # as if a tenth were much
    given = {**SETTINGS, "save_every": 100}
    with pytest.warns(reward_signs.RewardHackingWarning, match=r"pay for length\? \(step 3\)"):
        stages.get(name).run(pocket_base, StageContext(tmp_path / "out"), **given)


def test_what_is_only_measured_is_measured_where_answers_serve_several_steps(
    pocket_base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (trl_base, policy_trainer):
        monkeypatch.setattr(module, "EVERY", 4)
    context = StageContext(tmp_path / "out")
    given = {**SETTINGS, "iterations": 3, "max_steps": 12, "batch_size": 4, "save_every": None}
    stages.get("grpo").run(pocket_base, context, **given)
    lines = [json.loads(x) for x in context.metrics_path.read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines if "kl" in line] == [0, 7, 11]


def test_an_adapter_is_trained_on_rewards_and_merged(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    given = {**SETTINGS, "lora": {"rank": 4}, "lr": 1e-2, "save_every": None}
    watched = {"data": {"pocket/instruction-two@dev": 8}}
    context = StageContext(tmp_path / "out")
    made = stages.get("grpo").run(pocket_base, context, **given, watched=watched)
    assert made.digest != pocket_base.digest
    assert not (made.path / "adapter_config.json").exists()
    lines = [json.loads(x) for x in context.metrics_path.read_text(encoding="utf-8").splitlines()]
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-6) and 0 <= lines[0]["watched"] <= 1


@pytest.mark.parametrize("name", ["grpo", "rloo", "ppo"])
def test_a_model_that_diverged_is_not_sampled_from(
    pocket_base: Checkpoint, tmp_path: Path, name: str
) -> None:
    hot = {"optimizer": "muon", "muon_lr": 1e30, "lr": 1e30, "batch_size": 8}
    with pytest.raises(TrainingDiverged, match=r"lower lr \(1e\+30\) and muon_lr \(1e\+30\)"):
        stages.get(name).run(pocket_base, StageContext(tmp_path / "out"), **{**SETTINGS, **hot})


#: Arguments of TRL's that say how something works which our arguments switch off, or what is printed.
SWITCHED_OFF = (
    "sapo_",
    "vespo_",
    "entropy_",
    "ref_model_",
    "log_",
    "vllm_server_",
    "use_transformers_",
)
SWITCHED_OFF += ("model_init_kwargs", "trust_remote_code", "num_generations_eval", "ds3_gather")
SWITCHED_OFF += ("num_completions_to_print", "max_tool_calling", "transformers_continuous_batching")
SWITCHED_OFF += (
    "generation_batch_size",
    "vllm_group_port",
    "vllm_structured",
    "vllm_importance_sampling_cap",
)


@pytest.mark.parametrize("name", ["grpo", "rloo", "reinforce"])
def test_no_default_of_trl_decides_anything_by_itself(name: str, tmp_path: Path) -> None:
    import trl
    from transformers import TrainingArguments

    config = from_settings(stages.get(name).config, {"data": SETTINGS["data"]}, name)
    said = policy_gradient._shared(config) | policy_gradient._method(config)
    said |= trl_base._arguments(config, StageContext(tmp_path), tmp_path)
    known = {field.name for field in fields(TrainingArguments)} | said.keys()
    arguments = trl.GRPOConfig if name == "grpo" else trl.RLOOConfig
    unsaid = {field.name for field in fields(arguments)} - known
    assert not [argument for argument in unsaid if not argument.startswith(SWITCHED_OFF)]


def test_what_cannot_be_sampled_or_grouped_is_refused(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    for wrong, said in (
        ({"rollouts": "vllm"}, "vLLM"),
        ({"sampled": {"n": 1}}, "at least 2"),
        ({"sampled": {"n": 3}}, "multiple of sampled.n"),
        ({"iterations": 2, "save_every": 3}, "multiple of iterations"),
        ({"batch_size": 400}, "lower batch_size"),
        ({"rewards": {}}, "at least one scorer"),
        ({"data": {"pocket/instruction-two@test": 8}}, "test split"),
    ):
        with pytest.raises(UsageError, match=said):
            stages.get("grpo").run(
                pocket_base, StageContext(tmp_path / "out"), **{**SETTINGS, **wrong}
            )


def test_the_dry_run_counts_steps_of_answers(pocket_base: Checkpoint, tmp_path: Path) -> None:
    plan = stages.get("grpo").plan(pocket_base, StageContext(tmp_path / "out"), **SETTINGS)
    assert (plan.rows, plan.steps) == (16, 4)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["grpo", "rloo", "reinforce", "ppo", "rejection-sampling"])
def test_a_config_survives_yaml(name: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "data": SETTINGS["data"],
        "sampled": {"n": 4},
        "rewards": {"task": 0.5},
    }
    if name == "rejection-sampling":
        given |= {"data": {}, "prompts": SETTINGS["data"]}
    config = from_settings(stages.get(name).config, given, name)
    file = tmp_path / "stage.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    assert from_yaml(type(config), file) == config
