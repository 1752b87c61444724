"""Stands in for an external trainer: reads the input checkpoint, changes a weight, writes one engine's layout.

    python stand_in.py LAYOUT INPUT OUTPUT [SEED]

Each layout is the one its engine publishes (trainers/engine_layouts.py names them).
"""

import json
import shutil
import sys
import time
from pathlib import Path

from safetensors.torch import load_file, save_file

LAYOUT, INPUT, OUTPUT = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 0
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def trained(step: int) -> dict:
    """The input's weights after some steps of training."""
    tensors = load_file(INPUT / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * (1 + (step + SEED) / 1000)
    return tensors


def configs(folder: Path, tokenizer: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "generation_config.json", *(TOKENIZER if tokenizer else ())):
        shutil.copy2(INPUT / name, folder / name)


def model(folder: Path, step: int, tokenizer: bool = True) -> None:
    configs(folder, tokenizer)
    save_file(trained(step), folder / "model.safetensors", metadata={"format": "pt"})


def sharded(folder: Path, step: int, keep: int = 2) -> None:
    """Two shards without an index; `keep` of them."""
    configs(folder)
    tensors = sorted(trained(step).items())
    for shard in range(keep):
        name = f"model-{shard + 1:05}-of-00002.safetensors"
        save_file(dict(tensors[shard::2]), folder / name, metadata={"format": "pt"})


def adapter(folder: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(SEED)
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(INPUT), lora).save_pretrained(folder)


def pickled(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\x80\x04N.")


def verl(weights: bool) -> None:
    for step in (5, 10):
        at = OUTPUT / f"global_step_{step}"
        model(at / "actor" / "huggingface", step) if weights else configs(
            at / "actor" / "huggingface"
        )
        for rank in range(2):
            pickled(at / "actor" / f"model_world_size_2_rank_{rank}.pt")
            pickled(at / "actor" / f"optim_world_size_2_rank_{rank}.pt")
        model(at / "critic" / "huggingface", step)
    (OUTPUT / "latest_checkpointed_iteration.txt").write_text("10")


def openrlhf() -> None:
    for step in (9, 10):
        model(OUTPUT / f"global_step{step}_hf", step)
        pickled(OUTPUT / "_actor" / f"global_step{step}" / "mp_rank_00_model_states.pt")


def axolotl() -> None:
    for step in (5, 10):
        model(OUTPUT / f"checkpoint-{step}", step)
        pickled(OUTPUT / f"checkpoint-{step}" / "optimizer.pt")
    model(OUTPUT, 10)
    (OUTPUT / "README.md").write_text("trained")


def torchtune() -> None:
    for epoch in (0, 1):
        sharded(OUTPUT / f"epoch_{epoch}", 10 * epoch)
        adapter(OUTPUT / f"epoch_{epoch}")
    pickled(OUTPUT / "recipe_state" / "recipe_state.pt")


def nemo_rl() -> None:
    weights = OUTPUT / "step_10" / "policy" / "weights" / "model"
    pickled(weights / "__0_0.distcp")
    pickled(weights / ".metadata")
    tokenizer = OUTPUT / "step_10" / "policy" / "tokenizer"
    tokenizer.mkdir()
    for name in TOKENIZER:
        shutil.copy2(INPUT / name, tokenizer / name)


def nemo_rl_converted() -> None:
    nemo_rl()
    model(OUTPUT / "step_10-hf", 10, tokenizer=False)


def diverged() -> None:
    configs(OUTPUT)
    tensors = trained(1)
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, OUTPUT / "model.safetensors", metadata={"format": "pt"})


LAYOUTS = {
    "verl": lambda: verl(True),
    "verl without hf_model": lambda: verl(False),
    "OpenRLHF": openrlhf,
    "Axolotl": axolotl,
    "torchtune": torchtune,
    "Unsloth adapter": lambda: adapter(OUTPUT / "lora_model"),
    "NeMo RL": nemo_rl,
    "NeMo RL converted": nemo_rl_converted,
    "half a shard": lambda: sharded(OUTPUT, 1, keep=1),
    "pickled": lambda: (configs(OUTPUT), pickled(OUTPUT / "pytorch_model.bin")),
    "two": lambda: (model(OUTPUT / "a", 1), model(OUTPUT / "b", 2)),
    "nothing": lambda: None,
    "copy of the input": lambda: shutil.copytree(INPUT, OUTPUT, dirs_exist_ok=True),
    "into the input": lambda: save_file(trained(3), INPUT / "model.safetensors"),
    "not finite": diverged,
}

print(f"training {LAYOUT}, environment {json.dumps(sys.argv[1:])}", flush=True)
for step in range(1, 4):
    print(f"step {step}/3", flush=True)
    time.sleep(0.15)
LAYOUTS[LAYOUT]()
