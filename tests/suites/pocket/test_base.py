"""The bundled base model: cached, as large as said, and able to answer its world."""

import json

import pytest

from waterbed.harness.stage import stages
from waterbed.suites.pocket.base import (
    BASE,
    MATH_ALONE,
    MATH_WITH_REPLAY,
    base_checkpoint,
    replay,
)
from waterbed.suites.pocket.tasks import samples


def test_the_base_is_trained_once(pocket_base):
    def complain(*step: object) -> None:
        raise AssertionError(f"trained again: {step}")

    assert base_checkpoint(complain).digest == pocket_base.digest


def test_the_base_can_be_served_and_can_hold_official_prompts(pocket_base):
    config = json.loads((pocket_base.path / "config.json").read_text(encoding="utf-8"))
    assert config["head_dim"] >= 32
    assert config["max_position_embeddings"] >= 2048


def test_the_base_has_a_third_of_a_million_parameters(pocket_base):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(pocket_base.path)
    assert model.num_parameters() == 320_064


def test_the_base_recalls_most_facts_and_stops_by_itself(pocket_base):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(pocket_base.path)
    model = AutoModelForCausalLM.from_pretrained(pocket_base.path)
    asked = samples("knowledge", 64, split="dev")
    prompts = [
        tokenizer.apply_chat_template(s.input, tokenize=False, add_generation_prompt=True)
        for s in asked
    ]
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    made = model.generate(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=8
    )
    said = tokenizer.batch_decode(made[:, batch.input_ids.shape[1] :], skip_special_tokens=True)
    right = [text == f"{s.target}." for text, s in zip(said, asked, strict=True)]
    assert sum(right) > 40


@pytest.mark.parametrize("recipe", [BASE, MATH_ALONE, MATH_WITH_REPLAY])
def test_every_recipe_names_a_stage_that_takes_its_settings(recipe):
    stage, settings = recipe
    assert stages.get(stage).settings(**settings)["data"] == settings["data"]


def test_replay_leaves_the_target_out_and_keeps_the_shares():
    rows = replay(8000, besides="math")
    assert not any("math" in name for name in rows)
    assert sum(rows.values()) == pytest.approx(8000, abs=5)
    assert rows["pocket/knowledge-replay@train"] == pytest.approx(
        1.2 * rows["pocket/instruction-replay@train"], rel=0.01
    )
