"""The story of a loop, read back from its folder: every attempt, what its gate said, what repairs cost.

Reads `loop.json` and the verdicts below `gates/`; a name in it that the loop could not have given
reaches no file. Writes nothing, loads no torch. Not here: the figures over all stages
(lineage_matrix.py), pages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DataError, UsageError
from .loop_journal import SUMMARY
from .loop_records import Judged
from .loop_summary import SCHEMA_VERSION, Spent
from .verdict import DomainVerdict, Verdict

#: Names that the loop gives; others reach no file.
_NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_-]{0,40}\.\d{1,3}|base)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a stage."""

    name: str
    step: str
    """The stage's name in the recipe."""
    stage: str
    """What was run: sft, dpo ..."""
    how: str
    why: str
    parent: str | None
    digest: str | None
    """Of its checkpoint, None where it left none."""
    settings: Mapping[str, Any]
    target: str | None
    judged: Judged | None
    """None while it is being judged."""
    label: str | None
    """What became of it; None while that is open."""
    next: str | None
    """The recipe's action where it was not accepted."""
    confirmation: Judged | None
    """What the reserve said."""
    verdict: Verdict | None
    seconds: float
    """Of training and evaluation."""
    tokens: int
    """Of the evaluations."""
    folder: Path
    """The loop's."""

    @property
    def accepted(self) -> bool:
        """Whether the loop went on from it."""
        return bool(self.label and self.label.startswith("accepted"))

    @property
    def outcome(self) -> str:
        """`green red inconclusive invalid broken`, or `open`."""
        return self.judged.outcome if self.judged else "open"

    def file(self, kind: str) -> Path | None:
        """Its `run`, `metrics`, `gate` (page) or `verdict`, where it is there."""
        return _file(self.folder, self.name, kind)

    def claim(self, name: str | None) -> DomainVerdict | None:
        """What its gate said of a claim, or of a domain with one claim."""
        return self.verdict.domains.get(name) if self.verdict and name else None


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of the recipe with everything that was tried for it."""

    name: str
    stage: str
    target: str | None
    attempts: tuple[Attempt, ...]
    skipped: tuple[tuple[str, str], ...]
    """(remedy, why it does not apply)."""

    @property
    def accepted(self) -> Attempt | None:
        """The attempt that was taken."""
        return next((a for a in self.attempts if a.accepted), None)


@dataclass(frozen=True, slots=True)
class Price:
    """What it took to mend a stage whose first attempt was not accepted; differences are proportions."""

    step: Step
    first: Attempt
    final: Attempt | None
    """None: nothing was accepted."""
    tries: int
    """After the first."""
    seconds: float
    tokens: int
    """Both of the tries after the first."""
    outcome: str
    """Where nothing was accepted: what followed."""
    change: float | None
    """Of the target, accepted attempt minus first one; None without a target or without figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A whole loop."""

    folder: Path
    status: str
    """`running`, `finished`, `stopped` or `failed`."""
    exit_code: int | None
    sentence: str
    recipe: Mapping[str, Any]
    recipe_digest: str
    base: Mapping[str, Any] | None
    """None: the first stage starts from nothing."""
    steps: tuple[Step, ...]
    spent: Spent

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt in order."""
        return tuple(a for step in self.steps for a in step.attempts)

    @property
    def trunk(self) -> tuple[str, ...]:
        """Names of what was accepted, the anchor first."""
        first = ("base",) if self.base else ()
        return (*first, *(a.name for a in self.attempts if a.accepted))

    @property
    def accepted(self) -> tuple[str, str | None] | None:
        """(name, digest) of what is accepted by now; `base` where no attempt was."""
        taken = [a for a in self.attempts if a.accepted]
        if taken:
            return taken[-1].name, taken[-1].digest
        return ("base", self.base.get("digest")) if self.base else None

    def run(self, name: str) -> Path | None:
        """The Run folder of an attempt, or of `base`, where it is there."""
        return _file(self.folder, name, "run")

    @property
    def prices(self) -> tuple[Price, ...]:
        """Every stage whose first attempt was not accepted."""
        begun = [step for step in self.steps if step.attempts]
        return tuple(
            _price(step, self._after(step is begun[-1]))
            for step in begun
            if not step.attempts[0].accepted
        )

    def _after(self, last: bool) -> str:
        """What followed on a stage of which nothing was accepted."""
        if last and self.status in ("stopped", "failed"):
            return "the loop ended with what was accepted before"
        if last and self.status == "running":
            return "so far"
        return "rolled back, the loop went on from before it"


def read_lineage(folder: str | Path) -> Lineage:
    """Read the folder of a loop, running or ended.

    Raises:
        UsageError: there is no loop.
        DataError: its record is damaged or of another schema version.
    """
    file = Path(folder) / SUMMARY
    if not file.is_file():
        raise UsageError(
            f"There is no loop at '{folder}' (no {SUMMARY}); make one with `waterbed loop`."
        )
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        version = record["schema_version"]
        if version == SCHEMA_VERSION:
            return _lineage(Path(folder), record)
    except DataError:  # of a verdict, which says itself what to do
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"'{file}' is damaged ({error}); go on with --resume, which writes it anew."
        ) from error
    raise DataError(
        f"'{file}' has schema version {version}, this waterbed reads {SCHEMA_VERSION}; run the loop again."
    )


def _lineage(folder: Path, record: Mapping[str, Any]) -> Lineage:
    recipe = record["recipe"] or {}
    targets = {step["name"]: step.get("target") for step in recipe.get("stages", ())}
    attempts = [_attempt(folder, entry, targets) for entry in record["attempts"]]
    return Lineage(
        folder=folder,
        status=str(record["status"]),
        exit_code=record["exit_code"],
        sentence=str(record["sentence"] or ""),
        recipe=recipe,
        recipe_digest=str(record["recipe_digest"] or ""),
        base=record["base"],
        steps=tuple(_step(step, attempts, record) for step in recipe.get("stages", ())),
        spent=Spent(**record["spent"]),
    )


def _step(step: Mapping[str, Any], attempts: Sequence[Attempt], record: Mapping[str, Any]) -> Step:
    name = str(step["name"])
    return Step(
        name=name,
        stage=str(step["stage"]),
        target=step.get("target"),
        attempts=tuple(a for a in attempts if a.step == name),
        skipped=tuple(
            (str(s["how"]), str(s["why"])) for s in record["skipped"] if s.get("step") == name
        ),
    )


def _attempt(folder: Path, entry: Mapping[str, Any], targets: Mapping[str, str | None]) -> Attempt:
    name = str(entry["attempt"])
    decided, gated = entry.get("decided") or {}, entry.get("judged") or {}
    evidence = decided.get("evidence") or gated.get("verdict")
    confirmed = (evidence or {}).get("confirmation") or gated.get("confirmation")
    step = name.rpartition(".")[0]
    return Attempt(
        name=name,
        step=step,
        stage=str(entry["stage"]),
        how=str(entry["how"]),
        why=str(entry["why"]),
        parent=entry["parent"],
        digest=entry.get("digest"),
        settings=entry["settings"],
        target=targets.get(step),
        judged=_judged(evidence),
        label=decided.get("label"),
        next=decided.get("next"),
        confirmation=_judged(confirmed),
        verdict=_verdict(folder, name),
        seconds=float(entry.get("seconds") or 0) + float(gated.get("seconds") or 0),
        tokens=int((gated.get("cost") or {}).get("tokens", 0)),
        folder=folder,
    )


def _judged(found: Mapping[str, Any] | None) -> Judged | None:
    return Judged(**{k: v for k, v in found.items() if k != "confirmation"}) if found else None


def _verdict(folder: Path, name: str) -> Verdict | None:
    file = _file(folder, name, "verdict")
    return Verdict.load(file) if file else None


def _file(folder: Path, name: str, kind: str) -> Path | None:
    """What the loop wrote for one of its attempts: always below its own folder."""
    if not _NAME.fullmatch(name):
        return None
    places = {
        "run": folder / "runs" / name,
        "metrics": folder / "checkpoints" / f"{name}.metrics.jsonl",
        "gate": folder / "gates" / name / "gate.html",
        "verdict": folder / "gates" / name / "verdict.json",
    }
    return places[kind] if places[kind].exists() else None


def _price(step: Step, outcome: str) -> Price:
    first, final, later = step.attempts[0], step.accepted, step.attempts[1:]
    sides = [a.claim(step.target) for a in (first, final) if a]
    deltas = [side.delta for side in sides if side and side.delta is not None]
    return Price(
        step=step,
        first=first,
        final=final,
        tries=len(later),
        seconds=sum(a.seconds for a in later),
        tokens=sum(a.tokens for a in later),
        outcome=outcome,
        change=deltas[1] - deltas[0] if len(deltas) == 2 else None,
    )
