"""Judges one injected checkpoint twice: by the gate, and by items that the gate never reads.

The gate is live, under the default policy, against the base's stored Run. The truth is a paired
difference in right answers on the unseen items, with none of the gate's statistics: 300 items of each
domain, and all 1,000 where these leave it open whether a margin was lost. What cannot be asked or
answered counts as wrong. Records are appended to a JSONL, and a checkpoint that has one is not judged
again. Not here: tables (injection_table.py).
"""

from __future__ import annotations

import json
import math
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from injected_checkpoints import Injected

from waterbed import evaluate, gate
from waterbed.harness.checkpoints import Checkpoint
from waterbed.harness.comparability import chosen_tasks
from waterbed.harness.errors import (
    CheckpointError,
    IncomparableRuns,
    InstrumentError,
    WaterbedError,
)
from waterbed.harness.gate_live import evaluate_live
from waterbed.harness.gate_plan import ClaimPlan, plan
from waterbed.harness.policy import Policy
from waterbed.harness.run import Run
from waterbed.suites.pocket.base import base_checkpoint

if TYPE_CHECKING:
    import pandas as pd

SUITE = "pocket"
#: Records of checkpoints, in the folder of a study.
JUDGED = "records.jsonl"
UNSEEN = str(Path(__file__).with_name("unseen_pocket.py"))
FIRST = 300
OPTIONS = {"device": "cpu", "threads": 1}
OUTCOMES = {0: "green", 1: "red", 2: "refused", 3: "inconclusive", 4: "invalid"}
#: Errors of a loss within which it is still open whether a margin was lost.
ERRORS = 3.0
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Loss:
    """What one claim lost on the unseen items, as proportions; positive is a loss."""

    n: int
    loss: float
    se: float

    def beyond(self, amount: float) -> bool:
        """Whether so much is lost for certain."""
        return self.loss - ERRORS * self.se >= amount

    def within(self, amount: float) -> bool:
        """Whether so much is not lost for certain; without a changed item, by the rule of three."""
        return self.loss + ERRORS * max(self.se, 1 / self.n) < amount


@dataclass(frozen=True, slots=True)
class Base:
    """A base with what it is compared by."""

    checkpoint: Checkpoint
    run: Run
    unseen: Run
    claims: tuple[ClaimPlan, ...]


@dataclass
class Study:
    """The folder of one study."""

    folder: Path
    bases: dict[int, Base] = field(default_factory=dict)

    def records(self, file: str = JUDGED) -> dict[str, Record]:
        """What a file of the folder holds already, by name; a line torn by a kill is not there."""
        place = self.folder / file
        lines = place.read_text(encoding="utf-8").splitlines() if place.is_file() else []
        return {record["name"]: record for record in _whole(lines)}

    def record(self, name: str, make: Callable[[], Record], file: str = JUDGED) -> Record:
        """The record of this name, taken from the file or made now and kept there."""
        if known := self.records(file).get(name):
            return known
        made = make()
        with (self.folder / file).open("a", encoding="utf-8") as kept:
            kept.write(f"\n{json.dumps(made)}\n")  # below a line that a kill tore
        return made

    def judge(self, injected: Injected) -> Record:
        """The record of a checkpoint."""
        return self.record(injected.name, lambda: self._judged(injected))

    def base(self, seed: int) -> Base:
        """A base with its stored Runs, complete ones taken up."""
        if seed not in self.bases:
            checkpoint = base_checkpoint(seed=seed)
            place = self.folder / f"base-{seed}"
            run = _complete(checkpoint, SUITE, place / "run")
            unseen = _complete(checkpoint, UNSEEN, place / "unseen")
            tasks = chosen_tasks(run.manifest, run.manifest, [SUITE])
            claims = plan(run, Policy(), tasks).tested
            self.bases[seed] = Base(checkpoint, run, unseen, tuple(claims))
        return self.bases[seed]

    def _judged(self, injected: Injected) -> Record:
        base, place = self.base(injected.base), self.folder / "made" / injected.name
        place.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        made = injected.make(base.checkpoint, _fresh(place, "checkpoint"))
        seconds = time.monotonic() - began
        found = gated(base, made, place, Policy())
        forced = None
        if found.pop("incomparable", False):
            forced = gated(base, made, place / "warned", Policy(on_difference="warn"))
        return {
            "name": injected.name,
            "family": injected.family,
            "dose": injected.dose,
            "meant": injected.meant,
            "base": injected.base,
            "same_digest": made.digest == base.checkpoint.digest,
            "made_s": round(seconds, 1),
            "gate": found,
            "warned": forced,
            "truth": truth(base, made, place),
        }


def _whole(lines: Iterable[str]) -> Iterator[Record]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _fresh(place: Path, name: str) -> Path:
    """A folder name that nothing of a killed sitting uses, nor of another process."""
    used = sum(path.name.startswith(name) for path in place.iterdir())
    return place / f"{name}-{used}-{os.getpid()}"


def _complete(checkpoint: Checkpoint, suite: str, out: Path) -> Run:
    if (out / "run.json").is_file() and Run.open(out).status == "complete":
        return Run.open(out)
    return evaluate(checkpoint, [suite], out, options=OPTIONS)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in used)


def gated(base: Base, made: Checkpoint, place: Path, policy: Policy) -> dict[str, Any]:
    """What the live gate says of a checkpoint, and what it took."""
    began, cpu = time.monotonic(), _cpu()
    try:
        run = evaluate_live(base.run, made, policy, [SUITE], _fresh_run(place), options=OPTIONS)
        found = _said(gate(base.run, run, policy, suites=[SUITE]).to_dict(), run)
    except WaterbedError as error:
        found = {
            "outcome": OUTCOMES[error.exit_code],
            "exit_code": error.exit_code,
            "sentence": str(error)[:400],
            "named": [],
            "items": 0,
            "incomparable": isinstance(error, IncomparableRuns),
        }
    used = {"wall_s": time.monotonic() - began, "cpu_s": _cpu() - cpu}
    return {**found, **{key: round(value, 2) for key, value in used.items()}}


def _fresh_run(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return _fresh(place, "run")


def _said(verdict: Mapping[str, Any], run: Run) -> dict[str, Any]:
    table = run.scores()
    domains = verdict["domain_list"]
    return {
        "outcome": OUTCOMES[verdict["exit_code"]],
        "exit_code": verdict["exit_code"],
        "sentence": verdict["sentence"][:400],
        "named": [d["id"] for d in domains if d["badge"] == "fail"],
        "mean": (verdict["pooled"] or {}).get("badge"),
        "deltas": {d["id"]: d["comparison"]["delta"] for d in domains},
        "items": len(table.drop_duplicates(["task", "sample_id"])),
        "planned": sum(task["items"] for task in run.manifest["tasks"].values()),
    }


def truth(base: Base, made: Checkpoint, place: Path) -> dict[str, Any]:
    """What every claim lost on the unseen items; why there is none where nothing can be evaluated."""
    try:
        run = evaluate(made, [UNSEEN], _fresh(place, "unseen"), options=OPTIONS, limit=FIRST)
        found = losses(base, run)
        wanted = _open(base, found)
        if wanted:
            more = evaluate(made, wanted, _fresh(place, "unseen"), options=OPTIONS)
            found |= losses(base, more)
    except (CheckpointError, InstrumentError) as error:
        return {"claims": {}, "why": str(error)[:400]}
    claims = {
        claim: {"n": of.n, "loss": round(of.loss, 5), "se": round(of.se, 5)}
        for claim, of in found.items()
    }
    limits = {c.claim.id: {"margin": c.margin, "blind_spot": c.blind_spot} for c in base.claims}
    return {"claims": {claim: {**known, **limits[claim]} for claim, known in claims.items()}}


def _open(base: Base, found: Mapping[str, Loss]) -> list[str]:
    """Tasks of the claims that may or may not have lost a margin, where none lost two for certain."""
    margins = {c.claim.id: c.margin for c in base.claims}
    if any(of.beyond(2 * margins[claim]) for claim, of in found.items()):
        return []
    unclear = [claim for claim, of in found.items() if not of.within(margins[claim])]
    return sorted({f"unseen/{claim.split('/')[0]}" for claim in unclear})


def losses(base: Base, run: Run) -> dict[str, Loss]:
    """The loss of each claim on the items that a Run of the unseen tasks has."""
    keys = ["task", "sample_id", "repeat", "metric"]
    pairs = base.unseen.scores().merge(run.scores(), on=keys, suffixes=("_before", "_after"))
    found = {}
    for claim in base.claims:
        domain, _, metric = claim.claim.id.partition("/")
        own = pairs[
            (pairs["task"] == f"unseen/{domain}") & (pairs["metric"] == (metric or "correct"))
        ]
        if len(own):
            found[claim.claim.id] = _loss(own, lower_is_better=bool(metric))
    return found


def _loss(pairs: pd.DataFrame, *, lower_is_better: bool) -> Loss:
    """Mean and standard error of the paired difference; what has no score is as bad as can be."""
    worst = 1.0 if lower_is_better else 0.0
    before, after = (pairs[f"value_{side}"].fillna(worst) for side in ("before", "after"))
    lost = after - before if lower_is_better else before - after
    spread = float(lost.std(ddof=1)) / math.sqrt(len(lost))
    return Loss(len(lost), float(lost.mean()), spread)
