"""The recipe and the policy that `waterbed demo` writes, as text that a user can read, change and run.

Toy settings for a toy model, chosen on the dev split of seed 0 and after a few reads of its test split
(tests/study/demo.md). Nothing here runs anything (demo.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

RECIPE_FILE, POLICY_FILE = "recipe.yaml", "rules.yaml"

POLICY = """\
# The bundled policy `harm` but for one line: what must be able to show a loss of two margins, or
# nothing is green. On 700 items `safety/unsafe` (355 harmful requests) and `knowledge` (240 facts)
# are not: a loss that they prove is red all the same, and what they could miss stands on each page.
name: harm
require: [instruction, math, code, tools, chat, safety/overrefusal]
"""

_HEAD = """\
# What `waterbed demo` runs; run it again elsewhere, changed or not, with
#   waterbed loop {recipe} --out FOLDER
# Every stage starts from what was accepted last, and is gated against it and against the base.
base: {base}
seed: {seed}
suites: [pocket]        # seven generated domains, 1,000 items each: a toy world
policy: {policy}
limit: 700              # items of each task that decide
reserve: rest           # the other 300 confirm what was chosen after a first try failed
stages:
"""

_MATHS = """\
  - name: maths         # maths alone drowns the rest; the second try replays what the base was taught
    stage: sft
    settings: {data: {pocket/math@train: 6000}}
    target: math
    on_red: retry
    retry:
      - replay:
          rows: 8000
          domains: {tools: 1.5, instruction: 1, knowledge: 1.2, code: 1.2, chat: 0.5, safety: 0.4}
"""

_REST = """\
  - name: chat          # too high a rate learns its pairs by heart, and unlearns the rest
    stage: dpo
    settings: {data: {pocket/chat-preferences@train: 1280}, lr: 1.0e-3}
    target: chat
    on_red: retry
    retry: [{lr: 3.0e-4}]
    otherwise: rollback
  - name: instructions  # with replay from the start; of maths and chat the right answers, since those
    stage: sft          # domains are better than the base by now, whose answers `-replay` repeats
    settings:
      data:
        pocket/instruction@train: 800
        pocket/math@train: 1500
        pocket/chat@train: 200
        pocket/code-replay@train: 300
        pocket/tools-replay@train: 500
        pocket/safety-replay@train: 200
        pocket/knowledge-replay@train: 500
    target: instruction
    on_red: rollback
    on_inconclusive: rollback
  - name: reinforced    # rewarded only where both of two constraints hold
    stage: grpo
    settings:
      data: {pocket/instruction-two@train: 480}
      sampled: {n: 8, max_tokens: 56}
      batch_size: 128
      optimizer: muon
      muon_lr: 1.5e-3
      lr: 1.5e-4
      beta: 0.03
    target: instruction
    on_red: rollback
    on_inconclusive: rollback
  - name: half          # half of the inner weights gone; the dense checkpoint teaches what is left
    stage: prune
    settings: {sparsity: 0.5}
    on_red: repair
    repair: [heal]
    heal:
      data:
        pocket/math@train: 7000
        pocket/instruction@train: 2000
        pocket/chat@train: 200
        pocket/code-replay@train: 500
        pocket/tools-replay@train: 1200
        pocket/safety-replay@train: 200
        pocket/knowledge-replay@train: 1400
    otherwise: rollback
  - name: int8          # last, for rounded weights cannot be trained any more
    stage: int8-dynamic
    on_red: rollback
    on_inconclusive: rollback
"""

#: Said when a stage begins, by its name in the recipe.
STORY: Mapping[str, str] = {
    "maths": "SFT on maths and nothing else; if that is red, again with replay of the other domains.",
    "chat": "DPO on chat, its rate set too high; then gently.",
    "instructions": "SFT on instructions, with replay.",
    "reinforced": "GRPO on instructions with two constraints.",
    "half": "Half of the weights pruned.",
    "int8": "Weights and activations in 8 bits.",
}


def recipe(base: Path, folder: Path, *, seed: int, quick: bool) -> str:
    """The recipe as YAML.

    Args:
        base: the checkpoint that it starts from.
        folder: where recipe and policy will lie.
        quick: only maths, alone and repaired.
    """
    head = _HEAD.format(
        base=_quoted(base),
        seed=seed,
        recipe=folder / RECIPE_FILE,
        policy=_quoted(folder / POLICY_FILE),
    )
    return head + _MATHS + ("" if quick else _REST)


def _quoted(path: Path) -> str:
    """A path as YAML, whatever is in it."""
    return "'" + str(path).replace("'", "''") + "'"
