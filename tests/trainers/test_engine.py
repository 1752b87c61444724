"""The contract with external trainers, held by programs that write each engine's published layout."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from waterbed.harness.backends.loading import load
from waterbed.harness.checkpoints import Checkpoint, open_checkpoint
from waterbed.harness.errors import (
    CheckpointError,
    InstrumentError,
    Interrupted,
    UsageError,
)
from waterbed.harness.stage import StageContext, stages
from waterbed.harness.stage_config import from_yaml
from waterbed.trainers.engine import EngineConfig, log_path

PROGRAMS = Path(__file__).with_name("engines")
STAND_IN = [sys.executable, str(PROGRAMS / "stand_in.py")]
MISBEHAVE = [sys.executable, str(PROGRAMS / "misbehave.py")]


def trained(layout: str, base: Checkpoint, context: StageContext, **settings: Any) -> Checkpoint:
    command = [*STAND_IN, layout, "{checkpoint}", "{out}", "{seed}"]
    return stages.get("engine").run(base, context, **{"command": command, **settings})


def misbehaved(how: str, context: StageContext, **settings: Any) -> Checkpoint:
    return stages.get("engine").run(None, context, command=[*MISBEHAVE, how, "{out}"], **settings)


def norm(checkpoint: Checkpoint) -> torch.Tensor:
    found = {k: v for f in checkpoint.path.glob("*.safetensors") for k, v in load_file(f).items()}
    return found["model.norm.weight"]


@pytest.mark.parametrize(
    ("layout", "result"),
    [
        ("verl", "global_step_10/actor/huggingface"),
        ("OpenRLHF", "global_step10_hf"),
        ("Axolotl", "."),
        ("torchtune", "epoch_1"),
        ("NeMo RL converted", "step_10-hf"),
    ],
)
def test_the_last_checkpoint_of_each_engine_is_found(pocket_base, tmp_path, layout, result):
    context = StageContext(tmp_path / "out", seed=5)
    made = trained(layout, pocket_base, context)
    torch.testing.assert_close(norm(made), norm(pocket_base) * 1.015)
    loaded = load(made.path, "cpu", "float32", False)
    assert loaded.tokenizer.chat_template and loaded.unexpected == 0
    lineage = json.loads((made.path / "waterbed.json").read_text(encoding="utf-8"))
    assert (made.parent, made.stage) == (pocket_base.digest, "engine")
    assert lineage["engine"]["result"] == result
    assert lineage["engine"]["command"][2:] == [
        layout,
        str(pocket_base.path.resolve()),
        str(context.work / "out"),
        "5",
    ]
    assert not list(made.path.glob("adapter*")) and not context.work.exists()


def test_an_adapter_is_merged_into_the_input(pocket_base, tmp_path):
    made = trained("Unsloth adapter", pocket_base, StageContext(tmp_path / "out"))
    before, after = (load_file(c.path / "model.safetensors") for c in (pocket_base, made))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert set(before) == set(after)
    assert changed == {f"model.layers.{i}.self_attn.q_proj.weight" for i in range(4)}
    assert json.loads((made.path / "waterbed.json").read_text())["engine"]["adapter"] is True


def test_an_adapter_of_another_model_is_refused(pocket_base, tmp_path):
    other = stages.get("pretrain").run(
        None,
        StageContext(tmp_path / "other"),
        data={"pocket/math@train": 20},
        hidden_size=16,
        layers=1,
        heads=1,
        vocabulary=320,
        positions=256,
    )
    command = [*STAND_IN, "Unsloth adapter", str(other.path), "{out}"]
    with pytest.raises(CheckpointError, match="does not fit the checkpoint it is merged into"):
        trained("", pocket_base, StageContext(tmp_path / "out"), command=command)


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("verl without hf_model", r"a config and no weights: verl left .* verl.model_merger merge"),
        ("NeMo RL", r"torch's distributed shards .*convert_dcp_to_hf.py"),
        ("half a shard", r"lacks shard 2 of 2 \(model-00002-of-00002.safetensors\)"),
        ("pickled", r"pickled weights \(pytorch_model.bin\)"),
        ("two", r"left 2 checkpoints .* \(a, b\); name the one that is meant in `result`"),
        ("nothing", r"is empty; point the program's output option at \{out\}"),
        ("not finite", "holds NaN or infinity"),
        ("copy of the input", "older than the start of the program, so it did not write them"),
    ],
)
def test_what_is_no_checkpoint_of_the_program_is_refused_in_one_sentence(
    pocket_base, tmp_path, layout, said
):
    old = Path(shutil.copytree(pocket_base.path, tmp_path / "input"))
    os.utime(old / "model.safetensors", (1e9, 1e9))
    with pytest.raises(CheckpointError, match=said) as error:
        trained(layout, open_checkpoint(old), StageContext(tmp_path / "out"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_one_of_two_checkpoints_can_be_named(pocket_base, tmp_path):
    made = trained("two", pocket_base, StageContext(tmp_path / "out"), result="b")
    torch.testing.assert_close(norm(made), norm(pocket_base) * 1.002)


def test_a_checkpoint_in_the_wrong_place_is_named(pocket_base, tmp_path):
    (tmp_path / "here").mkdir()
    command = [*STAND_IN, "Axolotl", "{checkpoint}", "results"]
    with pytest.raises(CheckpointError, match=r"wrote to '.*results' and left '.*' empty"):
        trained(
            "",
            pocket_base,
            StageContext(tmp_path / "out"),
            command=command,
            environment={"OUTPUT": "{out}"},
            working_folder=str(tmp_path / "here"),
        )


def test_a_program_that_cannot_be_told_where_to_write_is_looked_for_there(pocket_base, tmp_path):
    made = trained(
        "",
        pocket_base,
        StageContext(tmp_path / "out"),
        command=[*STAND_IN, "OpenRLHF", "{checkpoint}", str(tmp_path / "fixed")],
        output=str(tmp_path / "fixed"),
    )
    torch.testing.assert_close(norm(made), norm(pocket_base) * 1.01)


def test_a_program_that_changes_its_input_is_found_out(pocket_base, tmp_path):
    copy = open_checkpoint(shutil.copytree(pocket_base.path, tmp_path / "input"))
    with pytest.raises(CheckpointError, match=r"changed its input .* restore it"):
        trained("into the input", copy, StageContext(tmp_path / "out"))


@pytest.mark.parametrize(
    ("how", "settings", "said"),
    [
        ("dies", {}, r"ended with exit code 3 after \d s; its last line was 'CUDA out of memory'"),
        ("is killed", {}, r"was killed by SIGKILL after"),
        ("hangs", {"silent_s": 0.5}, r"was ended after 0.5 s without a word, after"),
        ("hangs", {"limit_s": 0.7}, r"was ended at its limit of 0.7 s, after"),
    ],
)
def test_a_program_that_goes_wrong_ends_in_one_sentence(tmp_path, how, settings, said):
    context = StageContext(tmp_path / "out")
    with pytest.raises(InstrumentError, match=said) as error:
        misbehaved(how, context, **{"grace_s": 0.3, **settings})
    assert "\x1b" not in str(error.value) and "\n" not in str(error.value)
    assert "loading the model" in log_path(context).read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_program_which_may_save_before_it_ends(tmp_path, number):
    context = StageContext(tmp_path / "out")

    def ask() -> None:
        ready = context.work / "out" / "ready"
        while not (ready.exists() and ready.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(Interrupted, match=f"by {number.name}; give the same command to go on"):
        misbehaved("saves when asked to end", context)
    asking.join()
    assert (context.work / "out" / "saved").read_text() == number.name
    program = int((context.work / "out" / "ready").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(program, 0)


def test_what_a_killed_run_left_running_is_not_started_twice(tmp_path):
    import fcntl

    context = StageContext(tmp_path / "out")
    with pytest.raises(InstrumentError):
        misbehaved("dies", context)
    with (context.work / "running").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="started by an earlier run still works"):
            misbehaved("dies", context)


def test_progress_and_log_follow_the_program(pocket_base, tmp_path):
    seen: list[tuple[str, int, int]] = []
    context = StageContext(tmp_path / "out", progress=lambda *told: seen.append(told))
    trained("Axolotl", pocket_base, context)
    assert seen[-1] == ("engine", 3, 3) and len(seen) >= 2
    assert "step 3/3" in log_path(context).read_text()


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_data_is_written_for_the_program_and_traced(pocket_base, tmp_path, form):
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, pandas, runpy\n"
        "read = pandas.read_parquet if sys.argv[1].endswith('parquet') else None\n"
        "rows = read(sys.argv[1]) if read else pandas.read_json(sys.argv[1], lines=True)\n"
        "assert len(rows) == 7 and rows['messages'][0][-1]['role'] == 'assistant'\n"
        "sys.argv[1:2] = []\n"
        f"runpy.run_path({str(PROGRAMS / 'stand_in.py')!r})\n"
    )
    command = [sys.executable, str(script), "{data}", "Axolotl", "{checkpoint}", "{out}"]
    made = trained(
        "",
        pocket_base,
        StageContext(tmp_path / "out"),
        command=command,
        data={"pocket/math@train": 7},
        data_format=form,
        version=[sys.executable, "-c", "print('trainer 1.2')"],
    )
    lineage = json.loads((made.path / "waterbed.json").read_text(encoding="utf-8"))
    assert lineage["data"]["pocket/math@train"]["rows"] == 7
    assert lineage["engine"]["version"] == "trainer 1.2"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"command": []}, "command is empty"),
        ({"command": ["t", "{outt}"]}, r"no placeholder \{outt\}; known"),
        ({"command": ["t"]}, "nothing tells the program where to write"),
        ({"command": ["t", "{out}", "{data}"]}, "go together"),
        ({"command": ["t", "{out}"], "environment": {"HF_TOKEN": "x"}}, "the secret HF_TOKEN"),
        ({"command": "t {out}"}, "command"),
        ({"command": ["t", "{out}"], "limit_s": 0}, "limit_s must be above 0"),
        ({"command": ["no-such-program", "{out}"]}, "cannot be started"),
        ({"command": ["t", "{out}", "{checkpoint}"]}, r"uses \{checkpoint\} and there is none"),
        ({"command": ["t", "{out}", "{data}"], "data": {"pocket/math@test": 1}}, "a test split"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_runs(tmp_path, settings, said):
    with pytest.raises(UsageError, match=said):
        stages.get("engine").run(None, StageContext(tmp_path / "out"), **settings)


def test_a_dry_run_tells_command_environment_and_contract_and_starts_nothing(pocket_base, tmp_path):
    context = StageContext(tmp_path / "out", seed=5)
    plan = stages.get("engine").plan(
        pocket_base,
        context,
        command=[*STAND_IN, "verl", "{checkpoint}", "{out}", "a b", "{data}"],
        environment={"RUN_SEED": "{seed}"},
        version=[sys.executable, "-c", "print('trainer 1.2')"],
        data={"pocket/math@train": 7},
        result="final",
    )
    said = "\n".join(plan.notes)
    out = context.work / "out"
    assert (plan.stage, plan.rows, plan.parameters, plan.steps) == ("engine", 7, 320064, None)
    assert f"stand_in.py verl {pocket_base.path.resolve()} {out} 'a b' {context.work}/data" in said
    assert "environment: RUN_SEED=5" in said and "version: trainer 1.2" in said
    assert f"looked for in: {out / 'final'}" in said and "every shard" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", ["no-such-program", "./no-such-program"])
def test_a_dry_run_finds_out_that_the_program_is_not_there(tmp_path, program):
    with pytest.raises(UsageError, match=r"no program '.*no-such-program' that can be started"):
        stages.get("engine").plan(None, StageContext(tmp_path / "out"), command=[program, "{out}"])


def test_braces_of_json_and_hydra_pass_unchanged(tmp_path):
    script = "import sys; open(sys.argv[1] + '/said', 'w').write(sys.argv[2] + sys.argv[3])"
    command = [sys.executable, "-c", script, "{out}", '{"a": {"b": 1}}', "${name} {seed}"]
    context = StageContext(tmp_path / "out", seed=4)
    with pytest.raises(CheckpointError):
        stages.get("engine").run(None, context, command=command)
    assert (context.work / "out" / "said").read_text() == '{"a": {"b": 1}}${name} 4'


def test_a_program_that_runs_elsewhere_is_given_whole_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    script = (
        "import sys; [open(path, 'a').close() for path in (sys.argv[1] + '/said', sys.argv[2])]"
    )
    command = [sys.executable, "-c", script, "{out}", "{data}"]
    context, data = StageContext(Path("out")), {"pocket/math@train": 2}
    with pytest.raises(CheckpointError):
        stages.get("engine").run(None, context, command=command, working_folder="there", data=data)
    assert (tmp_path / "out.work" / "out" / "said").is_file()


EXAMPLES = sorted(
    (Path(stages.get("engine").function.__code__.co_filename).parent).glob("engine_*.yaml")
)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_each_example_is_a_valid_configuration_and_says_that_it_was_not_run(file):
    config = from_yaml(EngineConfig, file)
    assert config.command and "not run here" in file.read_text(encoding="utf-8").lower()


def test_every_named_engine_has_an_example():
    named = {"axolotl", "nemo_rl", "openrlhf", "torchtune", "unsloth", "verl"}
    assert {file.stem.removeprefix("engine_") for file in EXAMPLES} == named
