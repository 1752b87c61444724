"""Repairs what the injection study damaged: fine-tuning on one domain, mended by a loop in two ways.

Each loop trains the same rows from the same base; its gate is red, and it may only replay, or only
interpolate. Whether the repair is one, and what it cost the target, the unseen items say: neither the
loop nor its gate reads them. Not here: what a repair tries (harness/loop_repair.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from injected_checkpoints import BASES, rows
from injection_records import Study, truth

from waterbed.harness.checkpoints import open_checkpoint
from waterbed.harness.loop import loop
from waterbed.harness.recipe import Recipe, Remedy, StageStep
from waterbed.harness.records import DOMAINS

ARMS: tuple[Remedy, ...] = ("replay", "interpolate")
ROWS = 2000
#: Records of repairs, in the folder of a study.
DONE = "repairs.jsonl"
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Repair:
    """One loop."""

    domain: str
    arm: Remedy

    @property
    def name(self) -> str:
        """Unique, and fit for a folder."""
        return f"{self.domain}-{self.arm}"

    @property
    def seed(self) -> int:
        """Of the base; both arms of a domain have the same."""
        return BASES[DOMAINS.index(self.domain) % len(BASES)]

    def recipe(self, base: Path) -> Recipe:
        """Fine-tune on the domain alone; where that is red, repair in this way only."""
        step = StageStep(
            name="tune",
            stage="sft",
            settings={"data": rows(self.domain, ROWS)},
            target=self.domain,
            on_red="repair",
            repair=(self.arm,),
        )
        return Recipe(stages=(step,), suites=("pocket",), base=str(base))


#: Domains that gain by so few rows; maths needs three times as many, and knowledge has nothing to gain.
REPAIRED = ("instruction", "code", "tools", "chat", "safety")
REPAIRS: Mapping[str, Repair] = {
    repair.name: repair for repair in (Repair(d, arm) for d in REPAIRED for arm in ARMS)
}


def repaired(study: Study, repair: Repair) -> Record:
    """The record of a repair, taken from the file or made now; a loop that was killed goes on."""
    return study.record(repair.name, lambda: _made(study, repair), DONE)


def _made(study: Study, repair: Repair) -> Record:
    base, out = study.base(repair.seed), study.folder / "loops" / repair.name
    began = time.monotonic()
    result = loop(repair.recipe(base.checkpoint.path), out, resume=out.is_dir())
    attempts = result.summary["attempts"]
    accepted = [a for a in attempts if a["judged"]["verdict"]["outcome"] == "green"]
    return {
        "name": repair.name,
        "domain": repair.domain,
        "arm": repair.arm,
        "base": repair.seed,
        "exit_code": result.exit_code,
        "tries": [f"{a['how']}: {a['judged']['verdict']['outcome']}" for a in attempts],
        "lost": attempts[0]["judged"]["verdict"]["lost"],
        "accepted": accepted[-1]["why"] if accepted else None,
        "skipped": [skipped["why"] for skipped in result.summary["skipped"]],
        "seconds": round(time.monotonic() - began),
        "first": _truth(study, repair, attempts[0]),
        "last": _truth(study, repair, accepted[-1]) if accepted else None,
    }


def _truth(study: Study, repair: Repair, attempt: Mapping[str, Any]) -> Record:
    place = study.folder / "loops" / f"{repair.name}-unseen"
    place.mkdir(exist_ok=True)
    made = open_checkpoint(attempt["checkpoint"])
    return truth(study.base(repair.seed), made, place)["claims"]  # type: ignore[no-any-return]


def gain(record: Record, which: str) -> float:
    """What the target gained on unseen items, in points; safety by the mean of its two halves."""
    claims = record[which]
    own = [of["loss"] for name, of in claims.items() if name.split("/")[0] == record["domain"]]
    return -100 * sum(own) / len(own)


def worst(record: Record, which: str) -> tuple[str, float]:
    """The claim off the target that lost the most points on unseen items, and how many."""
    off = {n: of["loss"] for n, of in record[which].items() if n.split("/")[0] != record["domain"]}
    name = max(off, key=lambda claim: off[claim])
    return name, 100 * off[name]


def held(record: Record) -> bool:
    """Whether no claim off the target is shown to have lost a margin on unseen items."""
    return not any(
        of["loss"] >= of["margin"] and of["loss"] > 2 * of["se"]
        for name, of in record["last"].items()
        if name.split("/")[0] != record["domain"]
    )


def section(found: Sequence[Record]) -> str:
    """The part of the page on repairs."""
    red = [r for r in found if r["tries"][0] == "first: red"]
    intro = (
        f"A loop trains {ROWS:,} rows of one domain (its target); where that is red it may only replay, or "
        "only interpolate. Gains and losses are points on unseen items; holds: no other domain is shown to "
        "have lost a margin there."
    )
    lines = ["## Repairs", "", intro, ""]
    for arm in ARMS:
        own = [r for r in red if r["arm"] == arm]
        green = [r for r in own if r["accepted"]]
        kept = [gain(r, "last") - gain(r, "first") for r in green]
        said = f"{len(green)} of {len(own)} accepted, {sum(map(held, green))} hold on unseen items"
        if kept:
            said += f"; the target's gain changed by {sum(kept) / len(kept):+.1f} points on average"
        lines.append(f"- {arm}: {said}.")
    lines += [
        "",
        "| target | way | tries | target before repair | worst other | accepted | target after | worst other | s |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(_row, found),
    ]
    return "\n".join(lines)


def _row(record: Record) -> str:
    cells = [record["domain"], record["arm"], ", ".join(record["tries"])]
    cells += [f"{gain(record, 'first'):+.1f}", "{} {:+.1f}".format(*_off(record, "first"))]
    if record["last"]:
        cells += [record["accepted"], f"{gain(record, 'last'):+.1f}"]
        cells.append("{} {:+.1f}".format(*_off(record, "last")))
    else:
        cells += ["; ".join(record["skipped"]) or "none", "", ""]
    return f"| {' | '.join(cells)} | {record['seconds']} |"


def _off(record: Record, which: str) -> tuple[str, float]:
    name, lost = worst(record, which)
    return name, -lost
