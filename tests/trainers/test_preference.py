"""DPO, IPO and KTO: TRL computes the papers' losses from what these stages hand to it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.errors import DataError, UnknownName, UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers.pairs import Material, gather
from waterbed.trainers.preference import DpoConfig, IpoConfig, KtoConfig, job

REFERENCE = "pocket/chat-preferences@train"
DATA = {REFERENCE: 6}


@pytest.fixture
def material(pocket_base: Checkpoint, tmp_path: Path) -> Material:
    return gather(pocket_base, DATA, None, StageContext(tmp_path / "out"), "dpo")


def trainer_of(material: Material, config: Any, tmp_path: Path) -> Any:
    """TRL's trainer as the stage makes it, with a model that is no longer its reference."""
    import torch

    made = job(material, config, StageContext(tmp_path / "out"))
    arguments = made.arguments(
        output_dir=str(tmp_path / "work"),
        per_device_train_batch_size=len(made.dataset),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        **made.method,
    )
    trainer = made.trainer(
        model=made.model.requires_grad_(True),
        args=arguments,
        train_dataset=made.dataset,
        processing_class=made.tokenizer,
        **made.extra,
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight += 0.02 * torch.randn_like(weight)
    return trainer


def loss_of(trainer: Any) -> float:
    """The loss of all rows as one batch."""
    batch = next(iter(trainer.get_train_dataloader()))
    return float(trainer.compute_loss(trainer.model, batch).detach())


@pytest.mark.parametrize(("beta", "flipped"), [(0.1, 0.0), (0.7, 0.0), (0.1, 0.2)])
def test_the_loss_of_dpo_is_the_papers(
    material: Material, by_hand: ModuleType, tmp_path: Path, beta: float, flipped: float
) -> None:
    config = DpoConfig(data=DATA, beta=beta, label_smoothing=flipped)
    trainer = trainer_of(material, config, tmp_path)
    wanted = by_hand.mean(
        [
            by_hand.dpo(
                both(by_hand, trainer.model, pair, sum),
                both(by_hand, trainer.ref_model, pair, sum),
                beta,
                flipped,
            )
            for pair in material.pairs
        ]
    )
    assert loss_of(trainer) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_the_loss_of_ipo_is_the_papers_per_token(
    material: Material, by_hand: ModuleType, tmp_path: Path, tau: float
) -> None:
    trainer = trainer_of(material, IpoConfig(data=DATA, tau=tau), tmp_path)
    ours = [both(by_hand, trainer.model, pair, by_hand.mean) for pair in material.pairs]
    theirs = [both(by_hand, trainer.ref_model, pair, by_hand.mean) for pair in material.pairs]
    wanted = by_hand.mean([by_hand.ipo(o, t, tau) for o, t in zip(ours, theirs, strict=True)])
    assert loss_of(trainer) == pytest.approx(wanted, rel=1e-4)


def both(by_hand: ModuleType, model: Any, pair: Any, reduce: Any) -> tuple[float, float]:
    """What `reduce` makes of the per-token log-probabilities of the chosen and the rejected answer."""
    chosen, rejected = (
        reduce(by_hand.answer_logps(model, side.tokens, sum(side.said)))
        for side in (pair.chosen, pair.rejected)
    )
    return chosen, rejected


@pytest.mark.parametrize(("liked", "disliked"), [(1.0, 1.0), (1.0, 1.3)])
def test_the_loss_of_kto_is_the_papers_with_the_neighbours_answers_as_reference_point(
    material: Material, by_hand: ModuleType, tmp_path: Path, liked: float, disliked: float
) -> None:
    config = KtoConfig(data=DATA, beta=0.3, desirable_weight=liked, undesirable_weight=disliked)
    trainer = trainer_of(material, config, tmp_path)
    rows = job(material, config, StageContext(tmp_path / "out")).dataset
    tokenizer = material.loaded.tokenizer

    def log_ratio(prompt: Any, completion: Any) -> float:
        asked = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
        tokens = tokenizer.apply_chat_template(prompt + completion, return_dict=False)
        answer = len(tokens) - len(asked)
        ours, theirs = (
            sum(by_hand.answer_logps(model, tokens, answer))
            for model in (trainer.model, trainer.ref_model)
        )
        return ours - theirs

    ratios = [log_ratio(row["prompt"], row["completion"]) for row in rows]
    foreign = [rows[i]["completion"] for i in range(-1, len(rows) - 1)]
    crossed = [log_ratio(row["prompt"], said) for row, said in zip(rows, foreign, strict=True)]
    kl = max(0.0, by_hand.mean(crossed))
    weights = {True: liked, False: disliked}
    wanted = by_hand.mean(
        [
            by_hand.kto(ratio, row["label"], kl, 0.3, weights[row["label"]])
            for ratio, row in zip(ratios, rows, strict=True)
        ]
    )
    assert loss_of(trainer) == pytest.approx(wanted, rel=1e-4)


def test_a_batch_of_kto_holds_both_kinds_of_answers(material: Material, tmp_path: Path) -> None:
    context = StageContext(tmp_path / "out")
    many = gather(Checkpoint(pathless(material), ""), {REFERENCE: 100}, None, context, "kto")
    labels = job(many, KtoConfig(data=DATA), context).dataset["label"]
    assert sum(labels) == 100
    for start in range(0, 200, 50):
        assert 10 < sum(labels[start : start + 50]) < 40


def pathless(material: Material) -> Path:
    return Path(material.loaded.model.name_or_path)


@pytest.mark.parametrize(
    ("name", "rows", "models"),
    [("dpo", 16, 5), ("ipo", 16, 5), ("kto", 32, 5), ("orpo", 16, 4), ("reward-model", 16, 4)],
)
def test_the_dry_run_counts_rows_steps_and_the_reference(
    pocket_base: Checkpoint, tmp_path: Path, name: str, rows: int, models: int
) -> None:
    """Weights, their gradients and two moments are four models; a reference is the fifth."""
    few = {"data": {REFERENCE: 16}, "batch_size": 8}
    plan = stages.get(name).plan(pocket_base, StageContext(tmp_path / "out"), **few)
    assert (plan.stage, plan.rows, plan.steps) == (name, rows, rows // 8)
    assert 16 * 40 < plan.tokens < 16 * 120
    assert plan.memory_bytes == 4 * models * plan.parameters
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["dpo", "ipo", "kto"])
def test_an_untrained_model_is_its_own_reference(
    pocket_base: Checkpoint, tmp_path: Path, name: str
) -> None:
    import json

    run(name, pocket_base, tmp_path / "out", max_steps=1)
    [line] = (tmp_path / "out.metrics.jsonl").read_text(encoding="utf-8").splitlines()
    at_start = {"dpo": 0.6931, "ipo": 1.0, "kto": 0.5}  # log 2; (1 / (2 tau))^2; 1 - sigmoid(0)
    assert json.loads(line)["loss"] == pytest.approx(at_start[name], abs=1e-3)


def run(
    name: str, base: Checkpoint | None, out: Path, seed: int = 0, **settings: Any
) -> Checkpoint:
    few = {"data": {REFERENCE: 16}, "batch_size": 8, **settings}
    return stages.get(name).run(base, StageContext(out, seed=seed), **few)


@pytest.mark.parametrize("name", ["dpo", "ipo", "kto"])
def test_the_same_seed_gives_the_same_digest_and_another_another(
    pocket_base: Checkpoint, tmp_path: Path, name: str
) -> None:
    first, again, other = (
        run(name, pocket_base, tmp_path / str(i), seed=seed) for i, seed in enumerate((0, 0, 1))
    )
    assert first.digest == again.digest
    assert len({first.digest, other.digest, pocket_base.digest}) == 3
    assert (first.stage, first.parent) == (name, pocket_base.digest)


@pytest.mark.parametrize("name", ["dpo", "ipo", "kto", "orpo"])
def test_an_adapter_is_merged_into_an_ordinary_folder(
    pocket_base: Checkpoint, tmp_path: Path, name: str
) -> None:
    from transformers import AutoModelForCausalLM

    made = run(name, pocket_base, tmp_path / "out", lora={"rank": 4})
    assert not list(made.path.glob("adapter*"))
    before, after = (AutoModelForCausalLM.from_pretrained(c.path) for c in (pocket_base, made))
    moved = {n for n, w in after.named_parameters() if not w.equal(before.get_parameter(n))}
    assert moved
    assert all("proj" in name for name in moved)  # embeddings, norms and output layer stay


@pytest.mark.parametrize(
    ("name", "setting", "said"),
    [
        ("dpo", {"beta": 0.0}, "beta must be above 0, got 0"),
        ("dpo", {"label_smoothing": 0.5}, r"label_smoothing must be in \[0, 0.5\), got 0.5"),
        ("dpo", {"lr": -1.0}, "lr must be above 0, got -1"),
        ("ipo", {"tau": -0.5}, "tau must be above 0, got -0.5"),
        ("kto", {"undesirable_weight": 0.0}, "undesirable_weight must be above 0, got 0"),
        ("kto", {"batch_size": 7}, "batch_size 7 gives parts of 7 answers; make them even"),
    ],
)
def test_wrong_settings_are_named_with_their_values(
    pocket_base: Checkpoint, tmp_path: Path, name: str, setting: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        run(name, pocket_base, tmp_path / "out", **setting)
    assert not list(tmp_path.iterdir())


def test_a_setting_of_another_method_is_unknown(pocket_base: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="setting of stage 'ipo' 'beta'"):
        run("ipo", pocket_base, tmp_path / "out", beta=0.1)


@pytest.mark.parametrize("name", ["dpo", "ipo", "kto"])
def test_a_pair_that_is_too_long_is_named_before_training(
    pocket_base: Checkpoint, tmp_path: Path, name: str
) -> None:
    with pytest.raises(DataError, match=rf"{REFERENCE}: row \d+ has \d+ tokens, more than 20"):
        run(name, pocket_base, tmp_path / "out", longest=20)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["dpo", "ipo", "kto", "orpo", "reward-model"])
def test_nothing_is_learned_from_nothing(
    pocket_base: Checkpoint, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="needs a checkpoint"):
        run(name, None, tmp_path / "out")
    with pytest.raises(UsageError, match="data is empty"):
        run(name, pocket_base, tmp_path / "out", data={})
