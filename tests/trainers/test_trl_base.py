"""What TRL's stages share: order, packing, LoRA, replay, dry runs, divergence, states of another work."""

from __future__ import annotations

import pytest
import torch

from waterbed.harness.backends.loading import load
from waterbed.harness.errors import CheckpointError, UnknownName, UsageError
from waterbed.harness.stage import StageContext, stages
from waterbed.trainers import trl_base
from waterbed.trainers.mixture import Replay, with_replay
from waterbed.trainers.optimizers import MuonAdamW
from waterbed.trainers.trl_base import row_order

DATA = {"data": {"pocket/math@train": 64}, "batch_size": 16}


def first_loss(context: StageContext) -> float:
    import json

    return float(json.loads(context.metrics_path.read_text().splitlines()[0])["loss"])


def test_each_epoch_holds_every_row_once_with_neighbours_of_like_length():
    lengths = [i % 50 for i in range(333)]
    order = row_order(lengths, 8, 2, "seed")
    assert sorted(order[:333]) == sorted(order[333:]) == list(range(333))
    assert order[:333] != order[333:]
    spread = [
        max(b) - min(b) for b in ([lengths[r] for r in order[i : i + 8]] for i in range(0, 328, 8))
    ]
    assert max(spread) <= 2


def test_packed_rows_do_not_see_each_other(pocket_base, tmp_path):
    contexts = [StageContext(tmp_path / name) for name in ("padded", "packed")]
    for context, packing in zip(contexts, (False, True), strict=True):
        stages.get("sft").run(pocket_base, context, **DATA, packing=packing)
    assert first_loss(contexts[1]) == pytest.approx(first_loss(contexts[0]), rel=1e-5)


def test_an_adapter_is_merged_into_an_ordinary_checkpoint(pocket_base, tmp_path):
    context = StageContext(tmp_path / "lora")
    made = stages.get("sft").run(pocket_base, context, **DATA, lora={"rank": 4})
    assert not list(made.path.glob("adapter*"))
    before, after = (load(c.path, "cpu", "float32", False).model for c in (pocket_base, made))
    assert torch.equal(before.get_input_embeddings().weight, after.get_input_embeddings().weight)
    query = "model.layers.0.self_attn.q_proj.weight"
    change = after.get_parameter(query) - before.get_parameter(query)
    assert torch.linalg.matrix_rank(change, rtol=1e-3) == 4


def test_a_dry_run_counts_and_times_without_writing(pocket_base, tmp_path):
    context = StageContext(tmp_path / "out")
    plan = stages.get("sft").plan(pocket_base, context, **DATA, epochs=2, lora={"rank": 4})
    assert (plan.rows, plan.steps, plan.parameters) == (64, 8, 320_064)
    assert 0 < plan.trainable < plan.parameters
    assert plan.seconds is not None and 0 < plan.seconds < 600
    assert not list(tmp_path.iterdir())


def test_metrics_of_an_earlier_training_are_not_kept(pocket_base, tmp_path):
    context = StageContext(tmp_path / "out")
    context.metric(0, loss=1e9)
    stages.get("sft").run(pocket_base, context, **DATA, max_steps=1)
    assert first_loss(context) < 1e9


def test_a_state_of_other_settings_is_not_gone_on_from(pocket_base, tmp_path):
    context = StageContext(tmp_path / "out")
    first = context.begin(["a"])
    (first / "state").touch()
    assert (context.begin(["a"]) / "state").exists()
    assert not (context.begin(["b"]) / "state").exists()


def test_a_domain_without_replay_is_named():
    with pytest.raises(UnknownName, match="replay dataset for domain 'maths'; did you mean 'math'"):
        with_replay({}, Replay(rows=10, domains={"maths": 1}))


def test_replay_rows_follow_the_weights():
    mixed = with_replay({"a": 1}, Replay(rows=100, domains={"math": 1, "code": 3}))
    assert mixed == {"a": 1, "pocket/math-replay@train": 25, "pocket/code-replay@train": 75}


def test_weights_that_are_not_finite_never_become_a_checkpoint(pocket_base, tmp_path):
    loaded = load(pocket_base.path, "cpu", "float32", False)
    loaded.model.get_parameter("model.norm.weight").data[3] = float("nan")
    from waterbed.harness.checkpoints import write_checkpoint
    from waterbed.trainers.saving import saver

    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight' holds NaN"):
        write_checkpoint(
            out, saver(loaded.model, loaded.tokenizer), parent=None, stage="x", settings={}
        )
    assert not out.exists()


def test_an_uneven_batch_is_refused(pocket_base, tmp_path):
    with pytest.raises(UsageError, match="make it a multiple of 3"):
        stages.get("sft").run(pocket_base, StageContext(tmp_path / "o"), **DATA, accumulate=3)


def test_parts_of_a_batch_give_the_gradient_of_the_whole(pocket_base, tmp_path):
    contexts = [StageContext(tmp_path / name) for name in ("whole", "parts")]
    for context, parts in zip(contexts, (1, 4), strict=True):
        stages.get("sft").run(pocket_base, context, **DATA, accumulate=parts)
    assert first_loss(contexts[1]) == pytest.approx(first_loss(contexts[0]), rel=1e-4)


def test_muon_and_adamw_go_on_from_a_saved_state():
    def net() -> torch.nn.Module:
        torch.manual_seed(0)
        model = torch.nn.Module()
        model.embed, model.inner = torch.nn.Embedding(4, 3), torch.nn.Linear(3, 3)
        model.get_input_embeddings = lambda: model.embed
        model.get_output_embeddings = lambda: None
        return model

    def steps(model, optimizer, n):
        for _ in range(n):
            optimizer.zero_grad()
            model.inner(model.embed.weight).pow(2).sum().backward()
            optimizer.step()

    whole, half = net(), net()
    steps(whole, MuonAdamW(whole, 0.01, 0.01), 4)
    first = MuonAdamW(half, 0.01, 0.01)
    steps(half, first, 2)
    second = MuonAdamW(half, 0.01, 0.01)
    second.load_state_dict(first.state_dict())
    steps(half, second, 2)
    for a, b in zip(whole.parameters(), half.parameters(), strict=True):
        assert torch.equal(a, b)


def test_missing_libraries_are_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(trl_base, "find_spec", lambda name: None if name == "peft" else object())
    with pytest.raises(UsageError, match=r"trains with peft, .*pip install waterbed\[train\]"):
        trl_base.require_trl()


@pytest.mark.parametrize(("settings", "what"), [({}, "muon"), ({"lora": {}}, "lora")])
def test_what_needs_whole_matrices_is_refused_under_fsdp(
    pocket_base, tmp_path, monkeypatch, settings, what
):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match=f"cannot use {what} on weights that FSDP splits"):
        stages.get("sft").run(pocket_base, StageContext(tmp_path / "o"), **DATA, **settings)
