"""PPO's formulas equal values by hand, and the stage is repeatable, resumable and lifts what it rewards."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers import ppo_loss
from waterbed.trainers.ppo_loss import Answers, Limits, Reading

SETTINGS: dict[str, Any] = {
    "data": {"pocket/instruction-two@train": 24},
    "sampled": {"n": 2, "max_tokens": 24},
    "batch_size": 8,
    "save_every": 2,
}


def test_the_kl_penalty_lies_on_each_token_and_the_reward_on_the_last() -> None:
    ratio_bt = torch.tensor([[0.5, -0.25, 0.125], [1.0, 2.0, 9.0]])
    said_bt = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    found = ppo_loss.token_rewards(torch.tensor([1.0, 0.5]), ratio_bt, said_bt, 0.1)
    # Ziegler et al. 2019, section 2: R = r - beta log(pi / rho), by token.
    wanted = [[-0.05, 0.025, -0.0125 + 1.0], [-0.1, -0.2 + 0.5, 0.0]]
    assert torch.allclose(found, torch.tensor(wanted))


def by_hand_gae(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """Schulman et al. 2016, eq. 16: A_t = sum_l (gamma lam)^l delta_(t+l)."""
    after = [*values[1:], 0.0]
    deltas = [r + gamma * n - v for r, n, v in zip(rewards, after, values, strict=True)]
    return [
        sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, len(deltas)))
        for t in range(len(deltas))
    ]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.9, 0.0)])
def test_advantages_are_the_sum_of_discounted_errors(gamma: float, lam: float) -> None:
    rewards, values = [[0.1, -0.2, 1.0], [0.3, 0.7]], [[0.5, 0.25, 0.75], [-0.5, 0.1]]
    said_bt = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    reward_bt = torch.tensor([rewards[0], [*rewards[1], 0.0]])
    value_bt = torch.tensor([values[0], [*values[1], 0.0]])
    found = ppo_loss.gae(reward_bt, value_bt, said_bt, gamma, lam)
    for row, (own, said) in enumerate(zip(rewards, values, strict=True)):
        wanted = by_hand_gae(own, said, gamma, lam)
        assert found[row, : len(own)].tolist() == pytest.approx(wanted, abs=1e-6)
    assert found[1, 2] == 0


def batch(
    advantages: list[float], old: list[float], values: list[float], returns: list[float]
) -> Answers:
    """One answer of these tokens."""
    ones = torch.ones(1, len(old))
    rest = [torch.tensor([x]) for x in (old, values, returns, advantages)]
    return Answers(ones.long(), ones.long(), ones, ones, torch.zeros(1), *rest)


def test_the_clipped_losses_equal_the_paper_s_by_hand() -> None:
    old, new = [-1.0, -2.0, -0.5, -1.5], [-0.5, -2.5, -0.45, -1.0]
    gains, values, returns = [1.0, 1.0, -2.0, -1.0], [0.0, 0.5, 1.0, 0.2], [1.0, 0.0, 1.1, 0.9]
    said = [0.5, 0.4, 0.3, 0.25]
    now = Reading(torch.tensor([new]), torch.full((1, 4), 0.7), torch.tensor([said]))
    loss, figures = ppo_loss.ppo_loss(
        now, batch(gains, old, values, returns), Limits(0.2, 0.2, 0.5)
    )
    policy, value, cut, kl = 0.0, 0.0, 0, 0.0
    for n, o, a, v, before, g in zip(new, old, gains, said, values, returns, strict=True):
        ratio = math.exp(n - o)
        policy -= min(ratio * a, min(max(ratio, 0.8), 1.2) * a) / 4  # Schulman et al. 2017, eq. 7
        near = before + min(max(v - before, -0.2), 0.2)
        value += max((v - g) ** 2, (near - g) ** 2) / 2 / 4
        cut += abs(ratio - 1) > 0.2
        kl += (ratio - 1 - (n - o)) / 4  # Schulman 2020, k3
    assert figures["policy_loss"] == pytest.approx(policy, abs=1e-6)
    assert figures["value_loss"] == pytest.approx(value, abs=1e-6)
    assert figures["clip_ratio/region_mean"] == cut / 4
    assert figures["approx_kl"] == pytest.approx(kl, abs=1e-6)
    assert figures["entropy"] == pytest.approx(0.7)
    assert float(loss) == pytest.approx(policy + 0.5 * value, abs=1e-6)


def test_a_ratio_beyond_the_bound_has_no_gradient_where_it_would_gain() -> None:
    logp_bt = torch.tensor([[math.log(1.5), math.log(1.5)]], requires_grad=True)
    now = Reading(logp_bt, torch.zeros(1, 2), torch.zeros(1, 2))
    part = batch([1.0, -1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0])
    ppo_loss.ppo_loss(now, part, Limits(0.2, 0.2, 0.0))[0].backward()
    assert logp_bt.grad is not None
    assert logp_bt.grad.tolist() == [[0.0, pytest.approx(0.75)]]  # -(-1) * 1.5 / 2 tokens


def test_beta_is_steered_to_the_target_by_at_most_a_fifth() -> None:
    assert ppo_loss.adapted(0.1, kl=6.6, target=6.0, answers=100, horizon=1000) == pytest.approx(
        0.1 * (1 + 0.1 * 0.1)
    )
    assert ppo_loss.adapted(0.1, kl=60.0, target=6.0, answers=1000, horizon=1000) == pytest.approx(
        0.12
    )
    assert ppo_loss.adapted(0.1, kl=0.0, target=6.0, answers=1000, horizon=1000) == pytest.approx(
        0.08
    )


def test_an_answer_without_a_reward_is_not_learned_from() -> None:
    made = ppo_loss.judged([[1, 2], [1]], [[3, 4], [5]], [None, 1.0], torch.device("cpu"))
    assert made.said_bt.tolist() == [[1, 1], [1, 0]]
    assert made.learned_bt.tolist() == [[0, 0], [1, 0]]
    assert made.ids_bl.tolist() == [[1, 2, 3, 4], [1, 5, 0, 0]]
    assert made.place_bt.tolist() == [[2, 3], [1, 1]]


def test_log_probabilities_are_those_of_the_row_alone(
    pocket_base: Checkpoint, by_hand: Any
) -> None:
    from waterbed.harness.backends.loading import load

    model = load(pocket_base.path, "cpu", "float32", trust_remote_code=False).model
    head = torch.nn.Linear(model.config.hidden_size, 1)
    prompts, answers = [[5, 9, 17, 30], [8, 7]], [[40, 41], [50, 51, 52]]
    made = ppo_loss.judged(prompts, answers, [1.0, 1.0], torch.device("cpu"))
    with torch.no_grad():
        found = ppo_loss.read(model, head, made, temperature=1.0)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        wanted = by_hand.answer_logps(model, [*prompt, *answer], len(answer))
        assert found.logp_bt[row, : len(answer)].tolist() == pytest.approx(wanted, abs=1e-4)


def test_the_same_seed_gives_the_same_digest_and_a_kill_changes_nothing(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    whole = stages.get("ppo").run(pocket_base, StageContext(tmp_path / "whole"), **SETTINGS)
    assert whole.digest != pocket_base.digest
    out, steps = tmp_path / "out", []

    def die(what: str, done: int, total: int) -> None:
        if done == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            stages.get("ppo").run(pocket_base, StageContext(out, progress=die), **SETTINGS)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    context = StageContext(out, progress=lambda what, done, total: steps.append(done))
    again = stages.get("ppo").run(pocket_base, context, **SETTINGS)
    assert steps[0] == 5  # the state after batch 4 was kept
    assert again.digest == whole.digest
    lines = [json.loads(x) for x in context.metrics_path.read_text(encoding="utf-8").splitlines()]
    assert {"reward", "reward_std", "frac_reward_zero_std", "kl_answer", "entropy"} <= lines[
        -1
    ].keys()
    assert [line["step"] for line in lines] == [0, 5]
    names = {path.name for path in out.iterdir()}
    assert not any("value" in name for name in names)


def test_several_processes_and_vllm_are_refused(pocket_base: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="promised 2"):
        stages.get("ppo").run(pocket_base, StageContext(tmp_path / "a", world_size=2), **SETTINGS)
    with pytest.raises(UsageError, match="rollouts"):
        stages.get("ppo").run(
            pocket_base, StageContext(tmp_path / "b"), rollouts="vllm", **SETTINGS
        )


def test_the_dry_run_counts_and_measures(pocket_base: Checkpoint, tmp_path: Path) -> None:
    plan = stages.get("ppo").plan(pocket_base, StageContext(tmp_path / "out"), **SETTINGS)
    assert plan.steps == 6 * 2 * 2 and plan.rows == 24
    assert plan.seconds is not None and plan.seconds > 0
    assert not (tmp_path / "out").exists()
