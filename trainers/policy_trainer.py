"""What TRL's trainers of policy gradients are given of ours: rewards, REINFORCE's baseline, and measurements.

Rewards are read off sampled tokens as in an evaluation; KL is measured also where it is not paid; held-out
prompts are asked on the way; a model whose logits are not finite is not sampled from. Not here: the
methods and their settings (policy_gradient.py).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..harness.stage import StageContext
from .held_out import HeldOut
from .loop import EVERY
from .reward_signs import warn_of_signs
from .reward_sums import Rewards
from .rollouts import Material
from .trl_base import refuse_infinite

if TYPE_CHECKING:
    import torch

    from .policy_gradient import PolicyConfig


class Earned:
    """The reward function that TRL calls, what it found last, and what is watched beside it."""

    def __init__(
        self,
        material: Material,
        rewards: Rewards,
        watched: HeldOut | None,
        context: StageContext,
    ) -> None:
        self.material, self.rewards, self.watched = material, rewards, watched
        self.context = context
        self.totals: Sequence[float | None] = ()
        self.told: set[str] = set()

    def reward(
        self, completion_ids: Sequence[Sequence[int]], row: Sequence[int], log_metric: Any, **_: Any
    ) -> list[float | None]:
        """Rewards of sampled tokens, read as in an evaluation and not as TRL decodes them."""
        found = self.rewards.score(row, self.material.answers(row, completion_ids))
        for name, value in found.figures.items():
            log_metric(name, value)
        self.warn()
        self.totals = found.totals
        return found.totals

    def warn(self) -> None:
        """Warn of signs of hacking in the metrics so far."""
        if not self.context.rank:
            warn_of_signs(self.context.metrics_path, self.told)


def watching(
    trainer: type[Any], earned: Earned, name: str, config: PolicyConfig, *, beta: float
) -> type[Any]:
    """TRL's trainer with REINFORCE's baseline where it is asked for, and with what is only measured.

    Args:
        name: of the stage.
        beta: weight of the KL penalty; where there is one, TRL measures KL itself.
    """
    reference = None if beta or config.lora else _reference(earned, config.sampled.temperature)

    def generate_and_score(self: Any, inputs: Any) -> Any:
        import torch

        step, told = self.state.global_step, self._metrics["train"]
        model = _bare(self)
        largest = _largest_logit(model, earned.material.prompts[inputs[0]["row"]])
        refuse_infinite(name, step, "largest logit", largest, config)
        # The first batch of answers since a line of metrics; each serves so many steps.
        look = step % EVERY < config.iterations
        if earned.watched and look:
            told["watched"].append(earned.watched.score(model))
        batch = trainer._generate_and_score_completions(self, inputs)
        if name == "reinforce":
            values = batch_advantages(earned.totals)
            batch["advantages"] = torch.tensor(values, device=batch["advantages"].device)
        if not beta and look:
            told["kl"].append(_divergence(self, batch, reference))
        return batch

    members = {"_generate_and_score_completions": generate_and_score}
    return type(trainer.__name__, (trainer,), members)


def _bare(trainer: Any) -> Any:
    """The model without wrappers; layers of an adapter stay in it."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _largest_logit(model: Any, prompt: Sequence[int]) -> float:
    """Of the model on one prompt, by amount; what is not finite would end the sampling in a traceback."""
    import torch

    with torch.no_grad():
        logits_1tv = model(input_ids=torch.tensor([prompt], device=model.device)).logits
    return float(logits_1tv.abs().max())


def _reference(earned: Earned, temperature: float) -> Any:
    """A copy of the model as it begins, from which KL is measured; an adapter is switched off instead."""
    from trl.trainer.utils import add_fused_lm_head

    reference = copy.deepcopy(earned.material.loaded.model).eval()
    add_fused_lm_head(reference, temperature=temperature)
    return reference


def batch_advantages(totals: Sequence[float | None]) -> list[float]:
    """Each reward less the mean of all other scored ones; 0 where there is no reward.

    Williams 1992, section 5: any baseline that does not depend on the answer itself leaves the gradient
    unbiased.
    """
    scored = [total for total in totals if total is not None]
    whole, others = math.fsum(scored), len(scored) - 1
    return [
        0.0 if total is None or not others else total - (whole - total) / others for total in totals
    ]


def _divergence(trainer: Any, batch: Mapping[str, torch.Tensor], reference: Any) -> float:
    """KL of the model from where it began, nats a token, by the estimator that GRPO's penalty uses.

    exp(r) - r - 1 with r = log(reference / model) (Schulman 2020, "Approximating KL divergence", k3).
    """
    import torch

    ids_bt = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask_bt = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    said_bt = batch["completion_mask"]
    model = trainer.accelerator.unwrap_model(trainer.model)

    def logps(of: Any) -> torch.Tensor:
        found: torch.Tensor = trainer._get_per_token_logps_and_entropies(
            of, ids_bt, mask_bt, said_bt.size(1), trainer.args.per_device_train_batch_size
        )[0]
        return found

    with torch.no_grad():
        ours_bt = logps(model)
        if reference is None:
            with model.disable_adapter():
                ratio_bt = logps(model) - ours_bt
        else:
            ratio_bt = logps(reference.to(ids_bt.device)) - ours_bt
    kl_bt = torch.exp(ratio_bt) - ratio_bt - 1
    return float((kl_bt * said_bt).sum() / said_bt.sum())
