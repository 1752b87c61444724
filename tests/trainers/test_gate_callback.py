"""A real TRL training is gated: from inside, which it does not notice, and by a watcher from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from waterbed.harness.api import evaluate
from waterbed.harness.backends.loading import load
from waterbed.harness.checkpoints import Checkpoint, open_checkpoint
from waterbed.harness.datasets import load as rows
from waterbed.harness.errors import UsageError
from waterbed.harness.policy import Policy
from waterbed.harness.recipe import Budget
from waterbed.harness.run import Run
from waterbed.harness.watch import Watcher, watch
from waterbed.harness.watch_gate import Gatekeeper
from waterbed.trainers.gate_callback import GateCallback

SUITES, ITEMS = ["pocket/knowledge"], 120
OPTIONS = {"threads": 1, "batch_size": 64}
RULES = Policy(max_mde=12, margins={"knowledge": 12}, drift=())
#: Rates of AdamW: nobody notices; knowledge is gone after three steps.
GENTLE, HARSH = 1e-7, 3e-2


@pytest.fixture(scope="module")
def baseline(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("gated") / "base"
    return evaluate(pocket_base, SUITES, out, options=OPTIONS, limit=ITEMS)


@pytest.fixture
def callback(baseline: Run) -> Callable[..., GateCallback]:
    def make(**changed: Any) -> GateCallback:
        known = {"every": 3, "policy": RULES, "options": OPTIONS, "limit": ITEMS}
        return GateCallback(baseline, **{"say": lambda _: None, **known, **changed})

    return make


@pytest.fixture
def trained(pocket_base: Checkpoint, tmp_path: Path) -> Callable[..., Any]:
    """`trained(rate, callback)`: TRL's SFTTrainer after six steps on maths, as a user would write it."""

    def train(
        rate: float,
        *callbacks: Any,
        steps: int = 6,
        lora: bool = False,
        resume: bool = False,
        **more: Any,
    ) -> Any:
        from datasets import Dataset
        from peft import LoraConfig
        from trl import SFTConfig, SFTTrainer

        loaded = load(pocket_base.path, "cpu", "float32", trust_remote_code=False)
        arguments = SFTConfig(
            output_dir=str(tmp_path / "training"),
            max_steps=steps,
            per_device_train_batch_size=8,
            learning_rate=rate,
            lr_scheduler_type="constant",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **{"save_strategy": "no", **more},
        )
        chats = list(rows("pocket/math@train", shape="messages", n=64))
        adapter = {"peft_config": LoraConfig(r=4, target_modules="all-linear")} if lora else {}
        trainer = SFTTrainer(
            model=loaded.model.requires_grad_(True),
            args=arguments,
            train_dataset=Dataset.from_list([dict(row) for row in chats]),
            processing_class=loaded.tokenizer,
            callbacks=list(callbacks),
            **adapter,
        )
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return train


def test_a_gated_training_ends_in_the_same_weights_as_one_that_is_not(trained, callback) -> None:
    gate = callback()
    alone, gated = trained(GENTLE), trained(GENTLE, gate)
    assert sorted(gate.verdicts) == [3, 6]
    before, after = (t.model.state_dict() for t in (alone, gated))
    assert all(torch.equal(before[name], after[name]) for name in before)
    losses = [[e["loss"] for e in t.state.log_history if "loss" in e] for t in (alone, gated)]
    assert losses[0] == losses[1]
    assert gated.model.training


def test_what_is_accepted_is_marked_and_its_verdict_lies_beside_it(
    trained, callback, tmp_path: Path
) -> None:
    said: list[str] = []
    gate = callback(say=said.append)
    trained(GENTLE, gate)
    folder = tmp_path / "training" / "gated"
    assert gate.best is not None and gate.best.step == 6, "without a target the latest is the best"
    assert open_checkpoint(folder / "accepted").digest == open_checkpoint(folder / "step-6").digest
    told = json.loads((folder / "accepted.json").read_text())
    assert told["label"] == "best of 2 accepted (selection not confirmed)"
    verdict = json.loads((folder / "gate-step-3" / "verdict.json").read_text())
    assert verdict["headline"] == "NO HARM SHOWN"
    assert said[0].startswith("step-3: NO HARM SHOWN")


def test_a_red_gate_stops_the_training_or_is_only_recorded(
    trained, callback, tmp_path: Path
) -> None:
    gate = callback()
    assert trained(HARSH, gate).state.global_step == 3
    assert gate.verdicts[3].exit_code == 1 and gate.best is None
    assert not (tmp_path / "training" / "gated" / "accepted").exists()
    recording = callback(on_red="record", out=tmp_path / "elsewhere")
    assert trained(HARSH, recording, steps=4).state.global_step == 4
    assert sorted(recording.verdicts) == [3, 4], "the end is gated too"


def test_an_adapter_is_gated_merged_and_stays_an_adapter(trained, callback, tmp_path: Path) -> None:
    gate = callback()
    trainer = trained(1e-3, gate, steps=3, lora=True)
    made = open_checkpoint(tmp_path / "training" / "gated" / "step-3")
    merged = load(made.path, "cpu", "float32", trust_remote_code=False).model.state_dict()
    assert hasattr(trainer.model, "merge_and_unload"), "still an adapter"
    whole = trainer.model.merge_and_unload().state_dict()
    name = "model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(merged[name], whole[name])


def test_once_the_budget_is_used_up_the_training_goes_on_ungated(trained, callback) -> None:
    said: list[str] = []
    gate = callback(budget=Budget(tokens=10), say=said.append)
    assert trained(GENTLE, gate).state.global_step == 6
    assert list(gate.verdicts) == [3]
    assert said[-1].startswith("step 6: not gated, since the budget of 10 tokens is used up")


def test_weights_that_are_not_finite_stop_the_training(trained, callback) -> None:
    from transformers import TrainerCallback

    said: list[str] = []
    gate = callback(say=said.append)

    class Spoil(TrainerCallback):
        def on_step_end(self, _args: Any, state: Any, _control: Any, **given: Any) -> None:
            if state.global_step == 3:
                next(given["model"].parameters()).data.fill_(float("nan"))

    assert trained(GENTLE, Spoil(), gate).state.global_step == 3
    assert "no checkpoint that could be gated" in said[0] and "NaN" in said[0]
    assert not gate.verdicts


def test_a_place_that_cannot_be_written_is_told_and_stops_no_training(
    trained, callback, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    gate = callback(out=tmp_path / "file" / "gated", say=said.append)
    assert trained(GENTLE, gate, steps=4).state.global_step == 4
    assert not gate.verdicts
    assert said[0].startswith("step 3: not gated. '") and "(Not a directory)" in said[0]


def test_a_training_that_goes_on_remembers_its_gates(trained, callback) -> None:
    first, second = callback(), callback()
    trained(GENTLE, first, steps=3, save_strategy="steps", save_steps=3)
    trained(GENTLE, second, resume=True)
    assert sorted(second.verdicts) == [3, 6]
    assert [found.step for found in second.accepted] == [3, 6]
    assert second.spent.tries == 1, "the first gate was taken from its folder"


def test_a_watcher_keeps_up_with_the_same_training_from_outside(
    trained, baseline: Run, tmp_path: Path
) -> None:
    folder, stop = tmp_path / "training", tmp_path / "stop"
    folder.mkdir()
    keeper = Gatekeeper(
        baseline=baseline, policy=RULES, suites=SUITES, options=OPTIONS, limit=ITEMS
    )
    watcher = Watcher(folder=folder, keeper=keeper, stop_file=stop)
    saving = {"steps": 9, "save_strategy": "steps", "save_steps": 3}
    with ThreadPoolExecutor(1) as beside:
        training = beside.submit(trained, HARSH, **saving)
        found = list(watch(watcher, every_s=0.1, until=lambda: training.done() or stop.exists()))
        training.result()
    found += [*watcher.look(), *watcher.look()]
    assert sorted(watcher.verdicts()) == ["checkpoint-3", "checkpoint-6", "checkpoint-9"]
    assert [verdict.exit_code for verdict in found] == [1, 1, 1]
    assert "knowledge lost" in json.loads(stop.read_text())["sentence"]


def test_what_cannot_be_gated_is_refused(callback, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="every must be at least 1"):
        callback(every=0)
    with pytest.raises(UsageError, match="on_red must be 'stop' or 'record', got 'halt'"):
        callback(on_red="halt")
    two = type("Arguments", (), {"world_size": 2, "output_dir": str(tmp_path)})()
    state = type("State", (), {"global_step": 0})()
    with pytest.raises(UsageError, match="waterbed watch"):
        callback().on_train_begin(two, state, None)
