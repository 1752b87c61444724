"""The formulas of PPO on padded batches of answers: KL, token rewards, GAE, clipped losses.

Shapes: B answers, T tokens of the longest answer, padded on the right; `said_bt` is 1 at real tokens.
Sources stand with each formula. Not here: the loop (ppo.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def _empty() -> Tensor:
    import torch

    return torch.empty(0)


@dataclass(slots=True)
class Answers:
    """Sampled answers, and what is known of each of their tokens."""

    ids_bl: Tensor
    """Prompt and answer of each row, padded on the right."""
    place_bt: Tensor
    """Where in `ids_bl` an answer's token stands; 1 in the padding."""
    said_bt: Tensor
    learned_bt: Tensor
    """`said_bt` without the answers that have no reward."""
    reward_b: Tensor
    """0 where there is none."""
    old_bt: Tensor = field(default_factory=_empty)
    """Log-probabilities (nats) under the policy that sampled."""
    value_bt: Tensor = field(default_factory=_empty)
    """What the value head said then."""
    return_bt: Tensor = field(default_factory=_empty)
    advantage_bt: Tensor = field(default_factory=_empty)

    def part(self, rows: Tensor) -> Answers:
        """Some of the rows."""
        return Answers(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model says of given answers."""

    logp_bt: Tensor
    """Log-probability (nats) of each token; 0 in the padding."""
    entropy_bt: Tensor
    value_bt: Tensor


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a step may go."""

    ratio: float
    value: float
    value_weight: float


def judged(
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    totals: Sequence[float | None],
    device: torch.device,
) -> Answers:
    """Answers with their rewards as a batch."""
    import torch

    long = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    wide = max(map(len, answers))
    both = [[*p, *a] for p, a in zip(prompts, answers, strict=True)]
    said_bt = torch.tensor([[1.0] * len(a) + [0.0] * (wide - len(a)) for a in answers])
    scored_b = torch.tensor([float(total is not None) for total in totals])
    places = [
        [*range(len(p), len(p) + len(a)), *[1] * (wide - len(a))]
        for p, a in zip(prompts, answers, strict=True)
    ]
    return Answers(
        ids_bl=torch.tensor([[*row, *[0] * (long - len(row))] for row in both], device=device),
        place_bt=torch.tensor(places, device=device),
        said_bt=said_bt.to(device),
        learned_bt=(said_bt * scored_b[:, None]).to(device),
        reward_b=torch.tensor([total or 0.0 for total in totals], device=device),
    )


def read(model: Any, value: torch.nn.Module, batch: Answers, temperature: float) -> Reading:
    """Log-probabilities at the sampling temperature, entropies (nats) and values of each answer token.

    Padding on the right needs no mask: in a causal model it cannot reach the tokens before it. The value
    of a token is read off the state before it, as its probability is.
    """
    import torch

    hidden_bld = model.base_model(input_ids=batch.ids_bl, use_cache=False).last_hidden_state
    rows_b1 = torch.arange(len(batch.ids_bl), device=batch.ids_bl.device)[:, None]
    hidden_btd = hidden_bld[rows_b1, batch.place_bt - 1]
    logits_btv = model.get_output_embeddings()(hidden_btd).float() / temperature
    all_btv = logits_btv.log_softmax(-1)
    ids_bt = batch.ids_bl[rows_b1, batch.place_bt]
    logp_bt = all_btv.gather(-1, ids_bt[..., None])[..., 0]
    entropy_bt = -(all_btv.exp() * all_btv).sum(-1)
    value_bt = value(hidden_btd.float())[..., 0]
    said_bt = batch.said_bt
    return Reading(logp_bt * said_bt, entropy_bt * said_bt, value_bt * said_bt)


def token_rewards(reward_b: Tensor, ratio_bt: Tensor, said_bt: Tensor, beta: float) -> Tensor:
    """-beta log(policy / reference) at each token, and the answer's reward at its last (Ziegler et al. 2019).

    The log-ratio of a sampled token is the plain estimate of KL (Schulman 2020, "Approximating KL
    divergence", k1): unbiased, and it can be negative.
    """
    import torch

    last_bt = said_bt - torch.nn.functional.pad(said_bt, (0, 1))[:, 1:]
    return (-beta * ratio_bt + last_bt * reward_b[:, None]) * said_bt


def gae(reward_bt: Tensor, value_bt: Tensor, said_bt: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalized advantage estimates (Schulman et al. 2016, eq. 16); nothing follows the last token.

    delta_t = r_t + gamma V_(t+1) - V_t, and A_t = delta_t + gamma lam A_(t+1).
    """
    advantage_bt = reward_bt.new_zeros(reward_bt.shape)
    following_b = reward_bt.new_zeros(len(reward_bt))
    next_value_b = following_b
    for t in reversed(range(reward_bt.size(1))):
        delta_b = reward_bt[:, t] + gamma * next_value_b - value_bt[:, t]
        following_b = (delta_b + gamma * lam * following_b) * said_bt[:, t]
        next_value_b = value_bt[:, t] * said_bt[:, t]
        advantage_bt[:, t] = following_b
    return advantage_bt


def whitened(x_bt: Tensor, mask_bt: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the masked tokens, 0 elsewhere."""
    mean = masked_mean(x_bt, mask_bt)
    variance = masked_mean((x_bt - mean) ** 2, mask_bt)
    return (x_bt - mean) / (variance + 1e-8).sqrt() * mask_bt


def masked_mean(x_bt: Tensor, mask_bt: Tensor) -> Tensor:
    """Mean over the masked tokens; 0 where there are none."""
    return (x_bt * mask_bt).sum() / mask_bt.sum().clamp(min=1.0)


def ppo_loss(now: Reading, part: Answers, limits: Limits) -> tuple[Tensor, dict[str, float]]:
    """The clipped surrogate (Schulman et al. 2017, eq. 7, negated) and the clipped value loss.

    The value loss is half the larger of two squared errors, of the value and of the value kept near the
    old one, as in the authors' code (github.com/openai/baselines, ppo2).

    Returns:
        The loss, and for the metrics: entropy and KL from the old policy (nats a token; k3 of Schulman
        2020), share of tokens whose ratio is cut, both losses.
    """
    import torch

    mask_bt = part.learned_bt
    log_ratio_bt = now.logp_bt - part.old_bt
    ratio_bt = log_ratio_bt.exp()
    cut_bt = ratio_bt.clamp(1 - limits.ratio, 1 + limits.ratio)
    gain_bt = torch.minimum(ratio_bt * part.advantage_bt, cut_bt * part.advantage_bt)
    policy = -masked_mean(gain_bt, mask_bt)
    near_bt = part.value_bt + (now.value_bt - part.value_bt).clamp(-limits.value, limits.value)
    worse_bt = torch.maximum((now.value_bt - part.return_bt) ** 2, (near_bt - part.return_bt) ** 2)
    value = masked_mean(worse_bt, mask_bt) / 2
    with torch.no_grad():
        outside_bt = ((ratio_bt - 1).abs() > limits.ratio).float()
        figures = {
            "policy_loss": float(policy),
            "value_loss": float(value),
            "entropy": float(masked_mean(now.entropy_bt, mask_bt)),
            "approx_kl": float(masked_mean(ratio_bt - 1 - log_ratio_bt, mask_bt)),
            "clip_ratio/region_mean": float(masked_mean(outside_bt, mask_bt)),
        }
    return policy + limits.value_weight * value, figures


def adapted(beta: float, kl: float, target: float, answers: int, horizon: int) -> float:
    """The next weight of the KL penalty: proportional control, cut at 20% (Ziegler et al. 2019, section 2.2)."""
    error = min(0.2, max(-0.2, kl / target - 1))
    return beta * (1 + error * answers / horizon)
