"""The checkpoints of the injection study: what is done to a pocket base, by family and dose.

`meant` says what an edit was chosen to be; what it is, other items say (injection_records.py). Doses and
sizes were chosen after pilots of a dozen, and a few replay-only trainings were made firmer while the study
ran, before they were judged. Not here: how tensors and files are edited (checkpoint_edits.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from checkpoint_edits import (
    Maker,
    ending_with,
    in_turn,
    noisy,
    permuted_neurons,
    round_trip,
    saved_again,
    sharded,
    swapped_tokens,
    with_config,
    with_template,
    without_layer,
)

from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.records import DOMAINS
from waterbed.harness.stage import StageContext, stages
from waterbed.suites.pocket.base import MATH_WITH_REPLAY, replay

Meant = Literal["damaged", "harmless"]
#: Seeds of the bases; edits take them in turn.
BASES = (0, 1, 2)
LAYERS = 4
UNTIMED: Mapping[str, Any] = {"timing": {"repeats": 0}}
CALIBRATION: Mapping[str, Any] = {"data": {"pocket/pretrain@train": 128}, **UNTIMED}
#: Rates at which nothing much is learned.
TINY: Mapping[str, float] = {"lr": 1e-5, "muon_lr": 3e-5}
GENTLE: Mapping[str, float] = {"lr": 1e-4, "muon_lr": 3e-4}
#: Rates that change answers in both directions, where the rows teach nothing new.
FIRM: Mapping[str, float] = {"lr": 5e-4, "muon_lr": 1.5e-3}


@dataclass(frozen=True, slots=True)
class Injected:
    """One checkpoint to be gated."""

    family: str
    dose: str
    meant: Meant
    base: int
    """Seed of the base it is made from."""
    make: Maker

    @property
    def name(self) -> str:
        """Unique, and fit for a folder."""
        return f"{self.family}, {self.dose}, base {self.base}".replace("/", " of ").replace(
            " ", "-"
        )


def staged(stage: str, settings: Mapping[str, Any], seed: int) -> Maker:
    """What a registered stage makes."""

    def make(start: Checkpoint, out: Path) -> Checkpoint:
        return stages.get(stage).run(start, StageContext(out, seed=seed), **settings)

    return make


def rows(domain: str, n: int) -> dict[str, int]:
    """So many rows of one domain, with the right answers."""
    return {f"pocket/{domain}@train": n}


def on_the_way(domain: str, alpha: float, seed: int) -> Maker:
    """A small part of the way to what fine-tuning on one domain alone makes."""

    def make(start: Checkpoint, out: Path) -> Checkpoint:
        end = staged("sft", {"data": rows(domain, 1000)}, seed)(
            start, out.with_name(f"{out.name}.end")
        )
        line = {"other": str(end.path), "alpha": alpha}
        return staged("interpolate", line, seed)(start, out)

    return make


def _fine_tuned() -> Iterator[Injected]:
    for size, count in enumerate((500, 2000)):
        for number, domain in enumerate(DOMAINS):
            maker = staged("sft", {"data": rows(domain, count)}, size)
            base = BASES[(number + size) % len(BASES)]
            yield Injected("SFT one domain", f"{domain} {count} rows", "damaged", base, maker)
    pairs = {"data": {"pocket/chat-preferences@train": 1280}}
    for number, (rate, seed) in enumerate(((1e-3, 0), (1e-3, 1), (2e-3, 0), (2e-3, 1), (4e-3, 0))):
        maker = staged("dpo", {**pairs, "lr": rate}, seed)
        base = BASES[number % len(BASES)]
        yield Injected("DPO too far", f"lr {rate:g} seed {seed}", "damaged", base, maker)


def _weights_hurt() -> Iterator[Injected]:
    for layer in range(LAYERS):
        for strength in (0.1, 0.3, 0.8):
            maker = noisy(f"layers.{layer}.", strength, seed=layer)
            base = BASES[layer % len(BASES)]
            yield Injected(
                "noise on a layer", f"{strength:g} sd, layer {layer}", "damaged", base, maker
            )
    shares = [(s, 0) for s in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)]
    for sparsity, base in [*shares, (0.3, 1), (0.5, 2)]:
        maker = staged("prune", {"sparsity": sparsity, **UNTIMED}, 0)
        yield Injected("pruning", f"{sparsity:.0%}", "damaged", base, maker)
    for base in BASES:
        for bits in (4, 3):
            maker = staged("rtn", {"bits": bits, **UNTIMED}, 0)
            yield Injected("low bits", f"rtn {bits}", "damaged", base, maker)
        maker = staged("gptq", {"bits": 3, **CALIBRATION}, base)
        yield Injected("low bits", "gptq 3", "damaged", base, maker)


#: Name, and what is written instead of the right template's words.
TEMPLATES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "no turn for the answer": (("{{- '<|assistant|>' -}}{%- endif -%}", "{%- endif -%}"),),
    "no end of a turn": (("message['content'] + '<|end|>' -}}\n    {%- endif", "message['content'] -}}\n    {%- endif"),),
    "roles of ChatML": (("'<|' + message['role'] + '|>'", "'<|im_start|>' + message['role'] + '\\n'"),),
    "user for system": (("'<|' + message['role'] + '|>'", "'<|user|>'"),),
    "answers by the user": (("{{- '<|assistant|>' -}}{%- endif -%}", "{{- '<|user|>' -}}{%- endif -%}"),),
}  # fmt: skip


def rewritten(changes: tuple[tuple[str, str], ...]) -> Maker:
    """A template with some of its words replaced."""

    def edit(template: str) -> str:
        for old, new in changes:
            template = template.replace(old, new)
        return template

    return with_template(edit)


def _files_hurt() -> Iterator[Injected]:
    for number, (dose, changes) in enumerate(TEMPLATES.items()):
        yield Injected("wrong template", dose, "damaged", BASES[number % 3], rewritten(changes))
    for number, most in enumerate((24, 32, 40, 56)):
        maker = with_config(max_position_embeddings=most)
        yield Injected("short context", f"{most} tokens", "damaged", BASES[number % 3], maker)
    pairs = (("user", "assistant"), ("user", "system"), ("end", "pad"), ("assistant", "end"))
    for number, (first, second) in enumerate(pairs):
        maker = swapped_tokens(f"<|{first}|>", f"<|{second}|>")
        dose = f"{first} for {second}"
        yield Injected("swapped tokens", dose, "damaged", BASES[number % 3], maker)
    for base, token in ((0, 0), (1, 4)):
        yield Injected("swapped tokens", f"token {token} ends", "damaged", base, ending_with(token))
    for number, theta in enumerate((2e3, 1e5)):
        maker = with_config(rope_parameters={"rope_theta": theta, "rope_type": "default"})
        yield Injected("wrong config", f"rope {theta:g}", "damaged", BASES[number], maker)
    yield Injected("wrong config", "a layer lost", "damaged", 2, without_layer(2, LAYERS))


def _other_weights() -> Iterator[Injected]:
    for seed in range(6):
        pace, rates = ("gentle", GENTLE) if seed < 3 else ("firm", FIRM)
        maker = staged("sft", {"data": {"pocket/replay@train": 1500}, **rates}, seed)
        dose = f"{pace}, seed {seed}"
        yield Injected("SFT replay only", dose, "harmless", BASES[seed % 3], maker)
    for number, domain in enumerate(DOMAINS):
        maker = staged("sft", {"data": rows(domain, 600), **TINY}, number)
        yield Injected("SFT tiny rate", domain, "harmless", BASES[number % 3], maker)
    for base in BASES:
        few = {
            "data": {**rows("math", 1500), **replay(4000, besides="math")},
            "lr": 1e-3,
            "muon_lr": 2e-3,
        }
        yield Injected(
            "SFT with replay", "math 1500 rows", "harmless", base, staged("sft", few, base)
        )
    whole = staged(*MATH_WITH_REPLAY, 0)
    yield Injected("SFT with replay", "math 6000 rows", "harmless", 0, whole)
    for seed in range(5):
        tuned = {"data": {"pocket/replay@train": 600}, "optimizer": "adamw", "lr": 1e-4, "lora": {}}
        yield Injected(
            "LoRA merged", f"seed {seed}", "harmless", BASES[seed % 3], staged("sft", tuned, seed)
        )
    for number, domain in enumerate(("math", "code", "chat")):
        for alpha in (0.01, 0.02):
            maker = on_the_way(domain, alpha, number)
            yield Injected(
                "part of the way", f"{alpha:.0%} to {domain}", "harmless", BASES[number], maker
            )
    for layer in range(LAYERS):
        maker = noisy(f"layers.{layer}.", 0.005, seed=layer)
        yield Injected("noise of .005 sd", f"layer {layer}", "harmless", BASES[layer % 3], maker)
    for seed in range(3):
        pairs = {"data": {"pocket/chat-preferences@train": 640}, "lr": 3e-5}
        yield Injected(
            "DPO gentle", f"seed {seed}", "harmless", BASES[seed], staged("dpo", pairs, seed)
        )


def _other_files() -> Iterator[Injected]:
    for base in BASES:
        for stage in ("int8-dynamic", "fp8"):
            yield Injected("8 bits", stage, "harmless", base, staged(stage, UNTIMED, 0))
        yield Injected(
            "8 bits", "rtn 8", "harmless", base, staged("rtn", {"bits": 8, **UNTIMED}, 0)
        )
        for stage, seed in (("int8-static", base), ("smoothquant", base)):
            maker = staged(stage, CALIBRATION, seed)
            yield Injected("8 bits", f"{stage} seed {seed}", "harmless", base, maker)
        yield Injected("saved again", "transformers", "harmless", base, saved_again)
        yield Injected("saved again", f"{base + 2} files", "harmless", base, sharded(base + 2))
        for dtype in ("bfloat16", "float16"):
            maker = round_trip(dtype, back=base != 1)
            dose = f"{dtype}{'' if base == 1 else ' and back'}"
            yield Injected("number type", dose, "harmless", base, maker)
        maker = permuted_neurons(base)
        yield Injected("neurons permuted", f"seed {base}", "harmless", base, maker)
    yield Injected(
        "neurons permuted",
        "bfloat16",
        "harmless",
        0,
        in_turn(permuted_neurons(9), round_trip("bfloat16", back=True)),
    )


def catalogue() -> dict[str, Injected]:
    """Every checkpoint by name."""
    makers = (_fine_tuned, _weights_hurt, _files_hurt, _other_weights, _other_files)
    listed = [injected for made in makers for injected in made()]
    found = {injected.name: injected for injected in listed}
    assert len(found) == len(listed), "two checkpoints of one name"
    return found
