"""A real TRL fine-tuning of the pocket base on maths alone, gated while it runs: from inside, from outside.

`SFTTrainer` as a user would call it, 6,000 chats, AdamW. The callback gates every 20 steps on all seven
domains and stops the training; the watcher, another process's view of the same folder, gates what the
trainer saves and raises a stop file. Each gate is a row, with how long it took and how far the training
was by then; gates.md keeps them. A toy model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import waterbed
from waterbed.harness.backends.loading import load
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.datasets import load as rows
from waterbed.harness.policy import Policy
from waterbed.harness.run import Run
from waterbed.harness.watch import Watcher, watch
from waterbed.harness.watch_gate import Gatekeeper
from waterbed.trainers.gate_callback import GateCallback

pytestmark = pytest.mark.study

SUITES, ITEMS, EVERY, STEPS = ["pocket"], 300, 20, 188
OPTIONS = {"threads": 1, "batch_size": 64}
RULES = Policy(require=("math",), drift=(), limit=ITEMS)
#: Peak rates of AdamW.
RATES = (3e-5, 3e-3)
COLUMNS = ("rate", "gated", "step", "gate", "lost", "maths", "items", "gate s")


def trainer(base: Checkpoint, out: Path, rate: float, *callbacks: Any, **saving: Any) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    loaded = load(base.path, "cpu", "float32", trust_remote_code=False)
    arguments = SFTConfig(
        output_dir=str(out),
        max_steps=STEPS,
        per_device_train_batch_size=32,
        learning_rate=rate,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **{"save_strategy": "no", **saving},
    )
    chats = rows("pocket/math@train", shape="messages", n=6000)
    return SFTTrainer(
        model=loaded.model.requires_grad_(True),
        args=arguments,
        train_dataset=Dataset.from_list([dict(row) for row in chats]),
        processing_class=loaded.tokenizer,
        callbacks=list(callbacks),
    )


@pytest.fixture(scope="module")
def baseline(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("gated") / "base"
    return waterbed.evaluate(pocket_base, SUITES, out, options=OPTIONS, limit=ITEMS)


@pytest.fixture
def tell(show: Callable[[str], None]) -> Callable[..., None]:
    """Show cells as a row, below the columns' names."""

    def line(*cells: Any) -> None:
        show(f"| {' | '.join(map(str, cells))} |")

    line(*COLUMNS)
    line(*("---" for _ in COLUMNS))
    return line


def cells(folder: Path) -> list[Any]:
    """What a verdict says, read back from beside its checkpoint."""
    verdict = waterbed.Verdict.load(folder / "verdict.json")
    run = Run.open(folder / "run")
    lost = ", ".join(d.id for d in verdict.domain_list if d.badge == "fail")
    maths = verdict.domains["math"].delta
    shown = "" if maths is None else f"{100 * maths:+.1f}"
    return [
        verdict.headline,
        lost,
        shown,
        len(run.scores()),
        f"{run.manifest['cost']['wall_s']:.0f}",
    ]


@pytest.mark.parametrize("rate", RATES)
def test_the_callback_stops_what_forgets_and_marks_the_best_of_what_does_not(
    rate: float, pocket_base: Checkpoint, baseline: Run, tell: Callable[..., None], tmp_path: Path
) -> None:
    gate = GateCallback(
        baseline, every=EVERY, policy=RULES, target="math", options=OPTIONS, limit=ITEMS
    )
    began = time.monotonic()
    state = trainer(pocket_base, tmp_path, rate, gate).train()
    for step in sorted(gate.verdicts):
        tell(rate, "inside", step, *cells(tmp_path / "gated" / f"gate-step-{step}"))
    best = gate.best.step if gate.best else "none"
    share = gate.spent.seconds / (time.monotonic() - began)
    tell(f"ended at step {state.global_step}", f"best accepted: {best}", f"gating {share:.0%}")
    if rate == max(RATES):
        assert state.global_step < STEPS
    marked = tmp_path / "gated" / "accepted.json"
    assert marked.is_file() == bool(gate.accepted)


def test_a_watcher_gates_the_same_training_and_its_stop_file_ends_it(
    pocket_base: Checkpoint, baseline: Run, tell: Callable[..., None], tmp_path: Path
) -> None:
    from multiprocessing import get_context

    stop = tmp_path / "stop"
    folder = tmp_path / "training"
    folder.mkdir()
    context = get_context("fork")
    training = context.Process(target=_train, args=(pocket_base, folder, stop))
    training.start()
    keeper = Gatekeeper(
        baseline=baseline, policy=RULES, suites=SUITES, target="math", options=OPTIONS, limit=ITEMS
    )
    watcher = Watcher(folder=folder, keeper=keeper, stop_file=stop, newest=True)
    began = time.monotonic()
    for _ in watch(watcher, every_s=0.5, until=lambda: not training.is_alive() or stop.exists()):
        continue
    training.join()
    written = max(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*"))
    tell(f"last checkpoint at step {written}", f"{time.monotonic() - began:.0f} s in all")
    for name in sorted(watcher.verdicts(), key=lambda name: int(name.rpartition("-")[2])):
        step = name.rpartition("-")[2]
        tell(max(RATES), "outside", step, *cells(folder / f"gate-{name}"))
    assert json.loads(stop.read_text())["checkpoint"]
    assert training.exitcode == 0


def _train(base: Checkpoint, folder: Path, stop: Path) -> None:
    """In a process of its own; looks for the stop file as any training can."""
    from transformers import TrainerCallback

    class Obeys(TrainerCallback):
        def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop |= stop.exists()

    trainer(base, folder, max(RATES), Obeys(), save_strategy="steps", save_steps=EVERY).train()
