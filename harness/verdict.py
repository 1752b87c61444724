"""The answer of a gate, and its one file: `verdict.json`.

Terminal, page, JUnit and step summary are derived from this record and from nothing else. All scores,
differences, intervals and margins are proportions (a point is 0.01); pages multiply by 100. No number
here is NaN or infinite: what cannot be computed is None, with a reason beside it. Not here: how
verdicts are reached (gate.py, statistics/).
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from .drift_record import NO_DRIFT, Drift
from .errors import DataError, UsageError

SCHEMA_VERSION = 1
Badge: TypeAlias = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Side:
    """Baseline or candidate, as shown to people."""

    label: str
    path: str
    digest: str = ""
    status: str = "complete"
    made: str = ""
    """ISO date of the Run."""
    cost: Mapping[str, Any] = field(default_factory=dict)
    """`wall_s`, `prompt_tokens`, `completion_tokens`, `roles`, `money` where known."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the page's run diff compares: backend, dtype, versions, stage, data ..."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired figures of one set of items, baseline against candidate."""

    n: int
    """Pairs scored on both sides."""
    baseline: float | None
    candidate: float | None
    delta: float | None
    """candidate - baseline, oriented so that negative is a loss."""
    low: float | None
    high: float | None
    """Ends of the two-sided 90% interval: each end is a one-sided 95% bound."""
    gained: int = 0
    """Items better on the candidate's side (b)."""
    lost: int = 0
    """Items worse on the candidate's side (c)."""
    p_loss: float | None = None
    """One-sided p of "there is no loss"."""
    p_gain: float | None = None
    p_pass: float | None = None
    """One-sided p of "the loss is at least the margin"."""
    baseline_unscored: Mapping[str, int] = field(default_factory=dict)
    candidate_unscored: Mapping[str, int] = field(default_factory=dict)
    """Unscored samples by reason, for each side."""
    baseline_notes: Mapping[str, int] = field(default_factory=dict)
    candidate_notes: Mapping[str, int] = field(default_factory=dict)
    """Scored samples by reason of the model's fault: truncated, empty, unparsed ..."""


@dataclass(frozen=True, slots=True)
class TaskVerdict:
    """One task's figures; descriptive, the decision is made on its domain."""

    task: str
    metric: str
    version: str
    verified: str
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class EqualStyle:
    """What a judge's votes say with length and style held equal (gate_style.py)."""

    delta: float | None = None
    """candidate - baseline; None where there is no such figure."""
    low: float | None = None
    high: float | None = None
    se: float | None = None
    p_loss: float | None = None
    why: str = ""
    """Why there is none."""


@dataclass(frozen=True, slots=True)
class DomainVerdict:
    """One gated claim: a domain, or one gated metric of a domain (`safety/unsafe`)."""

    id: str
    domain: str
    metric: str
    badge: Badge
    flags: tuple[str, ...]
    """`gain small_real_loss material small_set no_verdict underpowered at_floor missing data`."""
    margin: float
    gating: bool
    """Frozen before any candidate answer: whether a harmless candidate would likely PASS."""
    required: bool
    planned_discordance: float
    blind_spot: float | None
    """Smallest true loss found with 80% power at the first Holm step; planned, not observed."""
    needed_items: int | None
    """Items for 80% power to PASS a harmless candidate at this margin."""
    p_holm: float | None
    comparison: Comparison
    tasks: tuple[TaskVerdict, ...]
    sentence: str
    """What happened, in the words of the contract (gate statistics a.6)."""
    rule: str
    """The rule with observed numbers: what was allowed, what was seen."""
    plan_sentence: str = ""
    unit: str = "item"
    """`item`, or `cluster` where items share a fact, a passage or a template."""
    units: int | None = None
    """Independent observations among the pairs; None in records that do not say."""
    discordance_from: str = "table"
    """Where the planned discordance comes from: `policy`, `A/A`, `samples` or `table`."""
    equal_style: EqualStyle | None = None
    """Of a claim that a judge votes on; None elsewhere."""

    @property
    def delta(self) -> float | None:
        """candidate - baseline, negative is a loss."""
        return self.comparison.delta


@dataclass(frozen=True, slots=True)
class AnchorVerdict:
    """The same claims against the Run that is kept for good, at its wider margins."""

    side: Side
    domain_list: tuple[DomainVerdict, ...]


@dataclass(frozen=True, slots=True)
class PooledVerdict:
    """The equal-weight mean of the domain differences, one more member of the family."""

    badge: Badge
    delta: float | None
    se: float | None
    low: float | None
    high: float | None
    p_loss: float | None
    p_holm: float | None
    blind_spot: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class WaterbedVerdict:
    """Whether the target's gain was paid for elsewhere."""

    named: bool
    """Gain and loss are both beyond chance."""
    p: float
    """The level at which both are shown: the larger of `p_gain` and `p_loss`."""
    p_gain: float
    p_loss: float
    gainers: tuple[str, ...]
    losers: tuple[str, ...]
    """Off-target claims with a confirmed loss, whether or not the gain is confirmed."""
    rate: float | None
    """Points lost in the largest loser per point gained; None: not estimable, or not named."""
    rate_low: float | None
    rate_high: float | None
    """Ends of its 95% set (Fieller)."""
    sentence: str


@dataclass(frozen=True, slots=True)
class ClaimStop:
    """By which boundaries one claim was looked at, and where it was decided."""

    id: str
    tenths: tuple[int, ...]
    """After which tenths of the items it was to be looked at."""
    units: tuple[int, ...]
    """Units there, as planned."""
    bounds_pass: tuple[float, ...]
    bounds_fail: tuple[float, ...]
    decided_at: int
    """The tenth whose figures this verdict shows."""


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """What a live gate saved, and the frame that makes its verdict repeatable."""

    frame: str
    """Hash of everything that could change a decision, fixed before the candidate answered."""
    seed: int
    """Of the order of the items."""
    spending: str
    """How the error rates are spent over the looks."""
    claims: tuple[ClaimStop, ...]
    mean_tenths: tuple[int, ...]
    """Where the mean over domains was to be read."""
    mean_bounds: tuple[float, ...]
    items_planned: int
    items_read: int
    tokens_saved: int
    """Estimated: the candidate's tokens an item, for the items that were not asked."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything a gate says."""

    outcome: Badge
    exit_code: int
    headline: str
    """`NO HARM SHOWN`, `PASS` (both with a word on waivers), `REGRESSION`, `INCONCLUSIVE`, `INVALID`."""
    sentence: str
    """One sentence why; first line everywhere."""
    baseline: Side
    candidate: Side
    policy: Mapping[str, Any]
    """The policy as evaluated, after defaults, with `name` and `hash`."""
    target: str | None
    family_size: int
    """J: number of claims in the Holm family."""
    domain_list: tuple[DomainVerdict, ...]
    pooled: PooledVerdict | None
    differences: tuple[str, ...] = ()
    """What differs between the two Runs' settings."""
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """Reasons for exit code 4."""
    command: str = ""
    """One line that repeats this gate."""
    created: str = ""
    version: str = ""
    waterbed: WaterbedVerdict | None = None
    """None where no target was declared, or none that was tested."""
    early: EarlyStop | None = None
    """None where all items were asked beforehand."""
    drift: Drift = NO_DRIFT
    """How the answers drifted; no rows where a side holds none, and a note that says so."""
    anchor: AnchorVerdict | None = None
    """None where no anchor was given."""
    schema_version: int = SCHEMA_VERSION

    @property
    def domains(self) -> dict[str, DomainVerdict]:
        """Domain verdicts by id."""
        return {d.id: d for d in self.domain_list}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data; no NaN, no infinity, no -0.0."""
        return _clean({**dataclasses.asdict(self), "drift": self.drift.to_dict()})  # type: ignore[no-any-return]

    def save(self, path: Path) -> None:
        """Write `verdict.json` in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".partial")
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        aside.write_text(text + "\n", encoding="utf-8")
        os.replace(aside, path)

    @classmethod
    def load(cls, path: Path) -> Verdict:
        """Read a `verdict.json` back.

        Raises:
            UsageError: there is no such file.
            DataError: it is not one, or of another schema version.
        """
        if not path.is_file():
            raise UsageError(f"There is no verdict at '{path}'; run `waterbed gate` first.")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["schema_version"] != SCHEMA_VERSION:
                raise DataError(
                    f"'{path}' has schema version {data['schema_version']}, this waterbed reads "
                    f"{SCHEMA_VERSION}; run the gate again."
                )
            return _verdict(data)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise DataError(f"'{path}' is not a verdict ({error}); run the gate again.") from error


def _clean(value: Any) -> Any:
    if isinstance(value, float):
        return (value + 0.0 if value else 0.0) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    return value


def _verdict(data: dict[str, Any]) -> Verdict:
    pooled, waterbed, early = data["pooled"], data.get("waterbed"), data.get("early")
    anchor = data.get("anchor")
    rest = {
        "baseline": Side(**data["baseline"]),
        "candidate": Side(**data["candidate"]),
        "domain_list": tuple(_domain(d) for d in data["domain_list"]),
        "pooled": PooledVerdict(**pooled) if pooled else None,
        "waterbed": _waterbed(waterbed) if waterbed else None,
        "early": _early(early) if early else None,
        "drift": Drift.from_dict(data["drift"]) if "drift" in data else NO_DRIFT,
        "anchor": _anchor(anchor) if anchor else None,
    }
    tuples = {k: tuple(data[k]) for k in ("differences", "warnings", "problems")}
    return Verdict(**{**data, **rest, **tuples})


def _anchor(data: dict[str, Any]) -> AnchorVerdict:
    return AnchorVerdict(Side(**data["side"]), tuple(_domain(d) for d in data["domain_list"]))


def _waterbed(data: dict[str, Any]) -> WaterbedVerdict:
    names = {key: tuple(data[key]) for key in ("gainers", "losers")}
    return WaterbedVerdict(**{**data, **names})


def _early(data: dict[str, Any]) -> EarlyStop:
    claims = tuple(ClaimStop(**{k: _frozen(v) for k, v in c.items()}) for c in data["claims"])
    return EarlyStop(**{**{k: _frozen(v) for k, v in data.items()}, "claims": claims})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _domain(data: dict[str, Any]) -> DomainVerdict:
    tasks = tuple(
        TaskVerdict(**{**t, "comparison": Comparison(**t["comparison"])}) for t in data["tasks"]
    )
    style = data.get("equal_style")
    rest = {
        "comparison": Comparison(**data["comparison"]),
        "equal_style": EqualStyle(**style) if style else None,
        "tasks": tasks,
        "flags": tuple(data["flags"]),
    }
    return DomainVerdict(**{**data, **rest})
