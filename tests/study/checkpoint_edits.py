"""Changes that no stage makes: tensors, config, chat template and special tokens of a checkpoint, edited.

Each function takes a checkpoint and a folder and writes a new checkpoint there, as a user's own script
would: without lineage. Not here: which edits are harmful (injected_checkpoints.py).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waterbed.harness.checkpoints import Checkpoint, open_checkpoint

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
#: What a copy leaves behind: a new checkpoint has no lineage.
LINEAGE = ("waterbed.json", "waterbed.ngrams.npz")
Tensors = dict[str, "torch.Tensor"]
Maker = Callable[[Checkpoint, Path], Checkpoint]


def copied(start: Checkpoint, out: Path) -> Path:
    """All files of a checkpoint but its lineage in a new folder."""
    shutil.copytree(start.path, out, ignore=shutil.ignore_patterns(*LINEAGE))
    return out


def with_tensors(edit: Callable[[Tensors], Tensors]) -> Maker:
    """Weights replaced by what `edit` makes of them."""

    def make(start: Checkpoint, out: Path) -> Checkpoint:
        from safetensors.torch import load_file, save_file

        copied(start, out)
        tensors = edit(load_file(out / WEIGHTS))
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(whole, out / WEIGHTS, metadata={"format": "pt"})
        return open_checkpoint(out)

    return make


def with_json(name: str, edit: Callable[[dict[str, Any]], None]) -> Maker:
    """A JSON file of the checkpoint changed in place by `edit`."""

    def make(start: Checkpoint, out: Path) -> Checkpoint:
        file = copied(start, out) / name
        known = json.loads(file.read_text(encoding="utf-8"))
        edit(known)
        file.write_text(json.dumps(known, indent=1), encoding="utf-8")
        return open_checkpoint(out)

    return make


def with_config(**changed: Any) -> Maker:
    """Other settings in config.json."""
    return with_json("config.json", lambda known: known.update(changed))


def with_template(edit: Callable[[str], str]) -> Maker:
    """Another chat template, made from the right one.

    Raises:
        ValueError: the edit changed nothing.
    """

    def make(start: Checkpoint, out: Path) -> Checkpoint:
        file = copied(start, out) / "chat_template.jinja"
        right = file.read_text(encoding="utf-8")
        wrong = edit(right)
        if wrong == right:
            raise ValueError(f"'{file}' does not hold what the edit replaces")
        file.write_text(wrong, encoding="utf-8")
        return open_checkpoint(out)

    return make


def noisy(part: str, strength: float, seed: int) -> Maker:
    """Gaussian noise on the matrices whose name holds `part`, in standard deviations of each."""

    def edit(tensors: Tensors) -> Tensors:
        import torch

        draw = torch.Generator().manual_seed(seed)
        for name in sorted(n for n, t in tensors.items() if part in n and t.ndim == 2):
            noise = torch.randn(tensors[name].shape, generator=draw)
            tensors[name] = tensors[name] + strength * tensors[name].std() * noise
        return tensors

    return with_tensors(edit)


def permuted_neurons(seed: int) -> Maker:
    """The hidden neurons of every MLP in another order: the same function, summed in another order."""

    def edit(tensors: Tensors) -> Tensors:
        import torch

        draw = torch.Generator().manual_seed(seed)
        for name in sorted(n for n in tensors if n.endswith("mlp.down_proj.weight")):
            order = torch.randperm(tensors[name].shape[1], generator=draw)
            tensors[name] = tensors[name][:, order]
            for side in ("gate_proj", "up_proj"):
                other = name.replace("down_proj", side)
                tensors[other] = tensors[other][order]
        return tensors

    return with_tensors(edit)


def round_trip(dtype: str, *, back: bool) -> Maker:
    """Weights rounded to a narrower number type, and stored so or in float32 again."""

    def edit(tensors: Tensors) -> Tensors:
        import torch

        narrow = {name: tensor.to(getattr(torch, dtype)) for name, tensor in tensors.items()}
        return {name: t.to(torch.float32) for name, t in narrow.items()} if back else narrow

    return with_tensors(edit)


def saved_again(start: Checkpoint, out: Path) -> Checkpoint:
    """Loaded by transformers and saved by it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(start.path).save_pretrained(out)
    AutoTokenizer.from_pretrained(start.path).save_pretrained(out)
    return open_checkpoint(out)


def sharded(parts: int) -> Maker:
    """The same tensors over several files with an index."""

    def make(start: Checkpoint, out: Path) -> Checkpoint:
        from safetensors.torch import load_file, save_file

        copied(start, out)
        tensors = load_file(out / WEIGHTS)
        (out / WEIGHTS).unlink()
        where = {}
        for part in range(parts):
            file = f"model-{part + 1:05d}-of-{parts:05d}.safetensors"
            own = {name: tensors[name] for name in sorted(tensors)[part::parts]}
            save_file(own, out / file, metadata={"format": "pt"})
            where.update(dict.fromkeys(own, file))
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        index = {"metadata": {"total_size": size}, "weight_map": where}
        (out / f"{WEIGHTS}.index.json").write_text(json.dumps(index), encoding="utf-8")
        return open_checkpoint(out)

    return make


def without_layer(layer: int, layers: int) -> Maker:
    """One layer of several left out, the later ones moved up."""

    def edit(tensors: Tensors) -> Tensors:
        kept = [n for n in range(layers) if n != layer]
        moved = {f"model.layers.{old}.": f"model.layers.{new}." for new, old in enumerate(kept)}
        found = {n: t for n, t in tensors.items() if not n.startswith(f"model.layers.{layer}.")}
        return {_renamed(name, moved): tensor for name, tensor in found.items()}

    return in_turn(with_tensors(edit), with_config(num_hidden_layers=layers - 1))


def _renamed(name: str, moved: Mapping[str, str]) -> str:
    old = next((prefix for prefix in moved if name.startswith(prefix)), "")
    return moved[old] + name.removeprefix(old) if old else name


def swapped_tokens(first: str, second: str) -> Maker:
    """Two special tokens with each other's number in the tokenizer."""

    def edit(known: dict[str, Any]) -> None:
        vocabulary: dict[str, int] = known["model"]["vocab"]
        vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
        for token in known["added_tokens"]:
            token["id"] = vocabulary[token["content"]]
        known["added_tokens"].sort(key=lambda token: token["id"])

    return with_json("tokenizer.json", edit)


def ending_with(token: int) -> Maker:
    """Config and generation config that name another token as the end of an answer."""

    def edit(known: dict[str, Any]) -> None:
        known["eos_token_id"] = token

    return in_turn(with_json("config.json", edit), with_json("generation_config.json", edit))


def in_turn(*makers: Maker) -> Maker:
    """Each maker on what the one before made; the steps between lie beside the last."""

    def make(start: Checkpoint, out: Path) -> Checkpoint:
        made: Sequence[Path] = [out.with_name(f"{out.name}.{n}") for n in range(len(makers) - 1)]
        for maker, place in zip(makers, [*made, out], strict=True):
            shutil.rmtree(place, ignore_errors=True)
            start = maker(start, place)
        return start

    return make
