"""A reward model as a scorer: a sequence-classification checkpoint says how good an answer is.

It was trained on pairs (Bradley & Terry 1952), so only differences of rewards to one prompt mean
something. A Score must lie in [0, 1]: its value is the probability that the answer beats one of reward
0, sigmoid(reward), and the reward itself stands in `detail`. Not here: training one (trainers/), rewards by
a task's own grader (rewards.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from .backends.loading import load_reward_model
from .checkpoints import Checkpoint, open_checkpoint
from .errors import CheckpointError, UsageError
from .records import Generation, Message, Prompt, Score, user


class RewardModel:
    """Scores answers with a checkpoint that the stage `reward-model` or TRL has made.

    Args:
        checkpoint: a folder, or what `open_checkpoint` made of one.
        device: a torch device, or "auto": the GPU where there is one.
        dtype: float32, bfloat16, float16, or "auto": float32 on a CPU, else the checkpoint's own.
        batch_size: answers computed together.

    Raises:
        UsageError: no such folder, device or dtype, or a batch size below 1.
        CheckpointError: a language model, or a folder that is not whole.
        BackendError: the weights do not fit the device.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 32,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}.")
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = open_checkpoint(checkpoint)
        self.checkpoint = checkpoint
        self.loaded = load_reward_model(checkpoint.path, device, dtype, trust_remote_code=False)
        if self.loaded.tokenizer.chat_template is None:
            raise CheckpointError(
                f"'{checkpoint.path}' has no chat template, so it cannot read a chat as in its training; "
                "save the tokenizer with its template."
            )

        self.pad = self.loaded.model.config.get_text_config().pad_token_id
        # Without a padding token the model cannot tell where a row ends.
        self.batch_size = 1 if self.pad is None else batch_size

    def score(self, prompts: Sequence[Prompt], generations: Sequence[Generation]) -> list[Score]:
        """Scores of `generations[i]` as answers to `prompts[i]`, in order.

        An empty answer scores 0. One that does not fit the model's context, or a reward that is not
        finite, is unscored.

        Raises:
            UsageError: the lengths differ.
        """
        if len(prompts) != len(generations):
            raise UsageError(
                f"{len(prompts)} prompts but {len(generations)} generations; pair them up."
            )
        tokens = [self._tokens(p, g.text) for p, g in zip(prompts, generations, strict=True)]
        rewards = self._rewards(tokens)
        return [
            Score(0.0, "empty") if not g.text.strip() else _score(reward, len(ids))
            for g, reward, ids in zip(generations, rewards, tokens, strict=True)
        ]

    def _tokens(self, prompt: Prompt, answer: str) -> list[int]:
        turns = (
            *(user(prompt) if isinstance(prompt, str) else prompt),
            Message("assistant", answer),
        )
        text = self.loaded.tokenizer.apply_chat_template(
            [turn.as_dict() for turn in turns], tokenize=False
        )
        ids: list[int] = self.loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _rewards(self, tokens: Sequence[Sequence[int]]) -> list[float | None]:
        """The reward of each row; None for rows longer than the context."""
        limit = self.loaded.context
        rewards: list[float | None] = [None] * len(tokens)
        fitting = [i for i, ids in enumerate(tokens) if limit is None or len(ids) <= limit]
        fitting.sort(key=lambda i: len(tokens[i]))  # similar lengths share a batch
        for start in range(0, len(fitting), self.batch_size):
            rows = fitting[start : start + self.batch_size]
            for i, reward in zip(rows, self._forward([tokens[i] for i in rows]), strict=True):
                rewards[i] = reward
        return rewards

    def _forward(self, rows: Sequence[Sequence[int]]) -> Iterator[float]:
        import torch

        width = max(map(len, rows))
        ids_bt = torch.tensor([[*ids, *[self.pad] * (width - len(ids))] for ids in rows])
        mask_bt = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in rows])
        device = self.loaded.device
        with torch.inference_mode():
            logits_b1 = self.loaded.model(
                input_ids=ids_bt.to(device), attention_mask=mask_bt.to(device)
            ).logits
        return iter(logits_b1[:, 0].float().tolist())


def _score(reward: float | None, tokens: int) -> Score:
    if reward is None:
        return Score.unscored("prompt_too_long", tokens=tokens)
    if not math.isfinite(reward):
        return Score.unscored("judge_error", reward=str(reward))
    return Score(_sigmoid(reward), detail={"reward": reward})


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
