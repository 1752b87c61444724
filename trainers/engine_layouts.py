"""Finds the checkpoint in what an external trainer left behind, and says what is wrong where there is none.

Layouts of each engine, as published:

    OpenRLHF    <save path>, and <ckpt path>/<tag>_hf with `save_hf`
    verl        global_step_N/actor/huggingface: weights only if `hf_model` is among the saved contents
    NeMo RL     step_N/policy/weights: torch's distributed format, converted by a script of its own
    Axolotl     output_dir itself, with checkpoint-N folders under it
    torchtune   epoch_N, whole weights and adapter side by side
    Unsloth     a folder with an adapter, or a merged model

A folder that was given no number is the end of the training; else the greatest number counts. The last
checkpoint is taken or refused, never an earlier one instead of it. Not here: running a program
(engine.py), merging an adapter (lora.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..harness.errors import CheckpointError

#: Folders that an engine writes are not deeper than this below its output.
DEEPEST = 8
#: Folders that are looked through for what was written to the wrong place.
MOST_FOLDERS = 5000
#: Folders of models that are not what is trained.
OTHERS = frozenset({"critic", "ref", "reference", "reward", "value", "optimizer", "tokenizer"})
STEP = re.compile(r"(?:step|steps|epoch|checkpoint|iter|iteration)[-_]?(\d+)", re.IGNORECASE)
SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.safetensors")

Kind = Literal["model", "adapter", "weightless"]


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that looks like a checkpoint."""

    folder: Path
    kind: Kind
    steps: tuple[int, ...] | None
    """Numbers in its path below the output; None where there are none."""


def find(output: Path, since: float) -> Place:
    """The checkpoint that a program left in `output`.

    Args:
        since: seconds since the epoch when the program was started; older weights are not its own.

    Returns:
        A whole model or an adapter.

    Raises:
        CheckpointError: none, two that could be meant, weights missing, pickled, sharded or older.
    """
    last = _last(output)
    if last.kind == "weightless":
        raise CheckpointError(_why_weightless(last.folder))
    files = weights(last)
    _check_shards(last.folder, files)
    newest = max(file.stat().st_mtime for file in files)
    if newest < since - 1:  # file systems keep whole seconds
        raise CheckpointError(
            f"The weights in '{last.folder}' are {since - newest:.0f} s older than the start of the program, "
            "so it did not write them; empty its output folder, or read its log."
        )
    return last


def elsewhere(folder: Path, since: float, besides: Path) -> Path | None:
    """A checkpoint that was written under `folder` since then: the program was told no better place."""
    for number, (name, folders, files) in enumerate(os.walk(folder)):
        here = Path(name)
        folders[:] = [f for f in folders if f[0] != "." and (here / f).resolve() != besides]
        tensors = [here / file for file in files if file.endswith(".safetensors")]
        if any(file.stat().st_mtime >= since - 1 for file in tensors if file.is_file()):
            return here
        if number > MOST_FOLDERS:
            return None
    return None


def weights(place: Place) -> list[Path]:
    """The weight files of a place, of its kind only."""
    return [
        file
        for file in sorted(place.folder.glob("*.safetensors"))
        if file.name.startswith("adapter_") == (place.kind == "adapter")
    ]


def _last(output: Path) -> Place:
    places = list(_places(output))
    if not places:
        raise CheckpointError(f"The program left no checkpoint in '{output}'{_seen(output)}.")
    final = [place for place in places if place.steps is None]
    if final:
        top = min(len(place.folder.parts) for place in final)
        chosen = [place for place in final if len(place.folder.parts) == top]
    else:
        latest = max(place.steps or () for place in places)
        chosen = [place for place in places if place.steps == latest]
        chosen = _actors(chosen)
    if len(chosen) > 1:
        names = ", ".join(str(place.folder.relative_to(output)) for place in chosen[:4])
        raise CheckpointError(
            f"The program left {len(chosen)} checkpoints in '{output}' ({names}); name the one that is meant "
            "in `result`."
        )
    return chosen[0]


def _actors(places: Sequence[Place]) -> list[Place]:
    """Of folders of one step those with weights, if there are any."""
    whole = [place for place in places if place.kind != "weightless"]
    return whole or list(places[:1])


def _places(output: Path) -> Iterator[Place]:
    """Every folder that looks like a checkpoint, no deeper than engines write."""
    for name, folders, files in os.walk(output):
        folder = Path(name)
        inside = folder.relative_to(output).parts
        folders[:] = sorted(f for f in folders if f.lower() not in OTHERS and f[0] != ".")
        if len(inside) >= DEEPEST:
            folders.clear()
        kind = _kind(files)
        if kind:
            numbers = tuple(int(n) for part in inside for n in STEP.findall(part))
            yield Place(folder, kind, numbers or None)


def _kind(files: Sequence[str]) -> Kind | None:
    tensors = [name for name in files if name.endswith(".safetensors")]
    if "config.json" in files and any(not name.startswith("adapter_") for name in tensors):
        return "model"
    if "adapter_config.json" in files:
        return "adapter" if "adapter_model.safetensors" in tensors else "weightless"
    return "weightless" if "config.json" in files else None


def _check_shards(folder: Path, files: Sequence[Path]) -> None:
    """Every shard that another one counts is there; an index is checked when the folder is opened."""
    found = [match for file in files if (match := SHARD.fullmatch(file.name))]
    for stem, total in {(match[1], int(match[3])) for match in found}:
        there = {int(match[2]) for match in found if match[1] == stem}
        missing = sorted(set(range(1, total + 1)) - there)
        if missing:
            raise CheckpointError(
                f"'{folder}' lacks shard {missing[0]} of {total} ({stem}-{missing[0]:05}-of-{total:05}."
                "safetensors); the program did not finish writing, run it again."
            )


def _why_weightless(folder: Path) -> str:
    """What a folder with a config and no weights is, and what to do about it."""
    beside = folder.parent
    shards = sorted(p.name for p in beside.glob("model_world_size_*_rank_*.pt"))
    if shards:
        return (
            f"'{folder}' has a config and no weights: verl left them as {len(shards)} FSDP shards beside it; add "
            "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra,hf_model], or run "
            f"`python -m verl.model_merger merge --backend fsdp --local_dir {beside} --target_dir OUT` at "
            "the end of the command."
        )
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
    if pickled:
        return (
            f"'{folder}' holds pickled weights ({pickled[0]}), which can run code when loaded; have the "
            "program save safetensors."
        )
    return (
        f"'{folder}' has a config and no weights; have the program save them as safetensors, or merge its "
        "shards at the end of the command."
    )


def _seen(output: Path) -> str:
    """What lies there instead of a checkpoint."""
    shards = sorted(output.rglob("*.distcp"))
    if shards:
        return (
            f", but torch's distributed shards in '{shards[0].parent}'; convert them at the end of the "
            "command (NeMo RL: examples/converters/convert_dcp_to_hf.py)"
        )
    files = sorted(p for p in output.rglob("*") if p.is_file())
    tensors = [file for file in files if file.suffix == ".safetensors"]
    if tensors:
        return f", but '{tensors[0]}' without its config.json; have the program save the config beside it"
    if files:
        return f", but {len(files)} other files, such as '{files[0].relative_to(output)}'; read its log"
    return ", which is empty; point the program's output option at {out}"
