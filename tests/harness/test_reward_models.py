"""A reward model scores answers alone and in batches alike, and is never mistaken for a language model."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from waterbed.harness.backends.loading import load
from waterbed.harness.checkpoints import Checkpoint, open_checkpoint
from waterbed.harness.errors import CheckpointError, UsageError
from waterbed.harness.records import Generation, user
from waterbed.harness.reward_models import RewardModel

ANSWERS = ["Sure! Use warm water.", "No.", "Sure! Well, it all depends, as you know. " * 3, "Yes"]
PROMPTS = [user(f"How do I clean a {thing}?") for thing in ("boat", "cup", "drum", "lamp")]


@pytest.fixture(scope="module")
def folder(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pocket base with a reward head of random weights."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    out = tmp_path_factory.mktemp("reward") / "model"
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(pocket_base.path, num_labels=1)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(pocket_base.path).save_pretrained(out)
    return out


def rewards(folder: Path, prompts: list, answers: list[str], **settings) -> list[float]:
    scores = RewardModel(folder, **settings).score(prompts, [Generation(a) for a in answers])
    return [score.detail["reward"] for score in scores]


def test_the_reward_is_the_heads_output_at_the_last_token(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [PROMPTS[0][0].as_dict(), {"role": "assistant", "content": ANSWERS[0]}]
    ids = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True).input_ids
    with torch.inference_mode():
        hidden_1td = model.base_model(input_ids=ids).last_hidden_state
        wanted = float(model.score(hidden_1td)[0, -1, 0])
    assert rewards(folder, PROMPTS[:1], ANSWERS[:1]) == pytest.approx([wanted], abs=1e-5)


def test_batches_change_no_reward(folder: Path) -> None:
    alone = rewards(folder, PROMPTS, ANSWERS, batch_size=1)
    assert rewards(folder, PROMPTS, ANSWERS, batch_size=4) == pytest.approx(alone, abs=1e-5)
    assert len(set(alone)) == len(alone)


def test_a_score_is_the_probability_to_beat_an_answer_of_reward_zero(folder: Path) -> None:
    for score in RewardModel(folder).score(PROMPTS, [Generation(a) for a in ANSWERS]):
        assert score.value == pytest.approx(1 / (1 + math.exp(-score.detail["reward"])))


def test_an_empty_answer_scores_nothing_and_one_too_long_is_unscored(folder: Path) -> None:
    answers = [Generation("  "), Generation("word " * 3000), Generation("Yes")]
    empty, long, good = RewardModel(folder).score(PROMPTS[:3], answers)
    assert (empty.value, empty.reason) == (0.0, "empty")
    assert (long.value, long.reason) == (None, "prompt_too_long")
    assert good.scored


def test_prompts_and_answers_must_pair_up(folder: Path) -> None:
    with pytest.raises(UsageError, match="2 prompts but 1 generations"):
        RewardModel(folder).score(PROMPTS[:2], [Generation("Yes")])


def test_a_reward_model_is_a_checkpoint_but_no_language_model(folder: Path) -> None:
    assert len(open_checkpoint(folder).digest) == 64
    with pytest.raises(CheckpointError, match="is a reward model, not a language model"):
        load(folder, "cpu", "float32", trust_remote_code=False)


def test_a_language_model_is_no_reward_model(pocket_base: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match="is a language model, not a reward model"):
        RewardModel(pocket_base)


def test_a_language_model_that_claims_to_be_a_reward_model_lacks_its_head(
    pocket_base: Checkpoint, tmp_path: Path
) -> None:
    liar = shutil.copytree(pocket_base.path, tmp_path / "liar")
    config = json.loads((liar / "config.json").read_text(encoding="utf-8"))
    config |= {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "reward"}}
    (liar / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match="score"):
        RewardModel(liar)


def test_a_classifier_of_many_labels_is_no_reward_model(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    other = shutil.copytree(folder, tmp_path / "other")
    AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=3, ignore_mismatched_sizes=True
    ).save_pretrained(other)
    with pytest.raises(CheckpointError, match="3 labels"):
        RewardModel(other)


def test_a_batch_of_none_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="batch_size must be at least 1, got 0"):
        RewardModel(folder, batch_size=0)
