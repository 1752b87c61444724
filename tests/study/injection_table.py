"""The figures of the injection study, and its page in Markdown, from the records alone.

A checkpoint counts as damaged where the unseen items show a loss of at least one margin in some claim; by
twice a margin or more the gate is asked to see it. What was meant as damage and lost less stands in
the same tables, and counts on neither side. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from scipy.stats import binomtest

Record = Mapping[str, Any]
#: A loss counts as shown from so many of its standard errors on.
SHOWN = 2.0
#: From so large a share of changed scores on, a harmless checkpoint puts the gate to the test.
MOVED = 0.01


@dataclass(frozen=True, slots=True)
class Judged:
    """A record, read."""

    record: Record

    @property
    def gate(self) -> Mapping[str, Any]:
        """What the gate said; of a refused comparison, what it said when told only to warn."""
        found: Mapping[str, Any] = self.record["warned"] or self.record["gate"]
        return found

    @property
    def lost(self) -> dict[str, Mapping[str, float]]:
        """Claims with a loss that the unseen items show."""
        claims = self.record["truth"]["claims"]
        return {name: of for name, of in claims.items() if of["loss"] > max(SHOWN * of["se"], 1e-9)}

    def kept(self, name: str) -> bool:
        """Whether the unseen items exclude that a claim lost its margin."""
        of = self.record["truth"]["claims"][name]
        return bool(of["loss"] + SHOWN * of["se"] < of["margin"])

    @property
    def margins(self) -> float:
        """The worst shown loss, in margins of its claim; infinite where nothing can be evaluated."""
        if not self.record["truth"]["claims"]:
            return float("inf")
        return max((of["loss"] / of["margin"] for of in self.lost.values()), default=0.0)

    @property
    def spots(self) -> float:
        """The worst shown loss, in blind spots of its claim, which the plan names beforehand."""
        known = [of for of in self.lost.values() if of["blind_spot"]]
        return max((of["loss"] / of["blind_spot"] for of in known), default=0.0)

    @property
    def changed(self) -> float:
        """Share of the unseen items whose score changed, either way: the mean square of a difference."""
        claims = self.record["truth"]["claims"].values()
        squares = [of["se"] ** 2 * (of["n"] - 1) + of["loss"] ** 2 for of in claims]
        return sum(squares) / len(squares) if squares else 1.0

    @property
    def worst(self) -> str | None:
        """The claim that lost the most points."""
        return max(self.lost, key=lambda name: self.lost[name]["loss"], default=None)

    @property
    def stopped(self) -> bool:
        """Whether this checkpoint would not have been let through."""
        return bool(self.record["gate"]["exit_code"] != 0)

    @property
    def red(self) -> bool:
        """Whether a loss was proven, if need be after the refusal to compare."""
        return bool(self.gate["outcome"] == "red")


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else float("nan")

    def __str__(self) -> str:
        if not self.of:
            return "none"
        found = binomtest(self.hits, self.of).proportion_ci(method="exact")
        low, high = 100 * found.low, 100 * found.high
        return f"{self.hits} of {self.of} ({100 * self.value:.0f}%, 95% CI {low:.0f} to {high:.0f})"


def share(records: Sequence[Judged], holds: Callable[[Judged], bool]) -> Share:
    """How many of these."""
    return Share(sum(map(holds, records)), len(records))


@dataclass(frozen=True, slots=True)
class Figures:
    """All checkpoints, sorted by what they turned out to be."""

    everything: Sequence[Judged]

    @classmethod
    def of(cls, records: Mapping[str, Record], names: Sequence[str]) -> Figures:
        """The records of these checkpoints, in this order."""
        return cls([Judged(records[name]) for name in names if name in records])

    def truly(self, low: float, high: float | None = None) -> list[Judged]:
        """Checkpoints whose worst shown loss is at least `low` margins, and below `high`."""
        found = [j for j in self.everything if j.margins >= low]
        return found if high is None else [j for j in found if j.margins < high]

    @property
    def grave(self) -> list[Judged]:
        """Damage of two margins or more."""
        return self.truly(2)

    @property
    def visible(self) -> list[Judged]:
        """Damage beyond the blind spot that the plan names for some claim."""
        return [j for j in self.everything if j.spots >= 1 or not j.record["truth"]["claims"]]

    @property
    def harmless(self) -> list[Judged]:
        """What was meant as harmless and lost no margin."""
        return [j for j in self.everything if j.record["meant"] == "harmless" and j.margins < 1]

    @property
    def moved(self) -> list[Judged]:
        """The harmless ones that change enough answers to be mistaken for damage."""
        return [j for j in self.harmless if j.changed >= MOVED]

    @property
    def reds(self) -> list[Judged]:
        """Proven losses whose domains can be held against the unseen items."""
        return [j for j in self.everything if j.red and j.gate["named"] and j.lost]

    def named(self) -> Iterator[tuple[Judged, str]]:
        """Every claim that was named, with its checkpoint, where unseen items can say something of it."""
        for judged in self.everything:
            claims = judged.record["truth"]["claims"]
            yield from ((judged, name) for name in judged.gate["named"] if name in claims)

    def wrongly_named(self) -> list[tuple[Judged, str]]:
        """Claims that were named although the unseen items exclude a loss of their margin."""
        return [(judged, name) for judged, name in self.named() if judged.kept(name)]


def page(figures: Figures, made: str, repairs: str) -> str:
    """The whole page.

    Args:
        made: at which commit, when and on what machine the records were made.
        repairs: the section on repairs.
    """
    parts = [_head(figures, made), _summary(figures), _families(figures), repairs]
    return "\n\n".join([*parts, _doses(figures)]) + "\n"


def _head(figures: Figures, made: str) -> str:
    meant = [j.record["meant"] for j in figures.everything]
    return (
        "# Regression injection: does the gate see damage, and let harmless changes through?\n\n"
        f"Toy model, toy world. {meant.count('damaged')} checkpoints were damaged on purpose and "
        f"{meant.count('harmless')} changed in ways meant to be harmless, all from three pocket bases; "
        "each was gated live (`harm`, the default policy, no target) against its base's stored Run, and "
        "judged again on items of the dev split that no gate reads: 300 of each domain, all 1,000 where "
        "those left it open. A loss counts as shown from two standard errors on. Printed by "
        f"`pytest -m study tests/study/test_injection.py`; {made}. Rows stand as they fell."
    )


def _summary(figures: Figures) -> str:
    reds, named = figures.reds, list(figures.named())
    grave = [j for j in reds if j.margins >= 2]
    unshown = Share(sum(name not in j.lost for j, name in named), len(named))
    rows = [
        ("damage of two margins or more: not let through (exit code not 0)", share(figures.grave, lambda j: j.stopped)),
        ("the same: red, or red when told to warn where it refused to compare", share(figures.grave, lambda j: j.red)),
        ("the same: refused, since the template asks other prompts", share(figures.grave, lambda j: j.record["warned"] is not None)),
        ("damage beyond a blind spot that the plan names: red", share(figures.visible, lambda j: j.red)),
        ("damage of one to two margins: red", share(figures.truly(1, 2), lambda j: j.red)),
        ("harmless: let through (exit code 0)", share(figures.harmless, lambda j: not j.stopped)),
        (f"harmless with at least {100 * MOVED:.0f} in 100 scores changed: let through", share(figures.moved, lambda j: not j.stopped)),
        ("red: the domain that truly lost most is among the named", share(reds, lambda j: j.worst in j.gate["named"])),
        ("the same, damage of two margins or more", share(grave, lambda j: j.worst in j.gate["named"])),
        ("red: it is the largest of the named", share(reds, lambda j: _first(j) == j.worst)),
        ("claims named in which unseen items show no loss", unshown),
        ("claims named in which unseen items exclude a loss of the margin", Share(len(figures.wrongly_named()), len(named))),
    ]  # fmt: skip
    lines = ["| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)]
    used = [
        f"| items asked of 7,000, median: {name} | {_median(found)} |"
        for name, found in (
            ("red", [j for j in figures.everything if j.record["gate"]["outcome"] == "red"]),
            ("green", [j for j in figures.everything if not j.stopped]),
        )
    ]
    return "\n".join(["## In short", "", *lines, *used])


def _first(judged: Judged) -> str:
    """The named claim with the largest loss as the gate saw it."""
    deltas = judged.gate["deltas"]
    return min(judged.gate["named"], key=lambda name: deltas[name])


def _median(found: Sequence[Judged]) -> str:
    if not found:
        return "none"
    items = median(j.record["gate"]["items"] for j in found)
    seconds = median(j.record["gate"]["cpu_s"] for j in found)
    return f"{items:,.0f} ({seconds:.0f} CPU-seconds, start and verdict included)"


_BANDS: Mapping[str, Callable[[Judged], bool]] = {
    "at least 2 margins": lambda j: j.margins >= 2,
    "1 to 2": lambda j: 1 <= j.margins < 2,
    "below 1": lambda j: j.margins < 1,
}


def _families(figures: Figures) -> str:
    lines = [
        "## By family: red of all, by what the unseen items say was lost",
        "",
        "Refused and invalid ones are in brackets: the gate would not compare, and did not let through.",
        "",
        "| family | meant | " + " | ".join(_BANDS) + " | items, median |",
        "|---|---|---|---|---|---|",
    ]
    families = dict.fromkeys((j.record["family"], j.record["meant"]) for j in figures.everything)
    for family, meant in families:
        own = [j for j in figures.everything if j.record["family"] == family]
        cells = [_band([j for j in own if holds(j)]) for holds in _BANDS.values()]
        items = median(j.gate["items"] for j in own)
        lines.append(f"| {family} | {meant} | {' | '.join(cells)} | {items:,.0f} |")
    return "\n".join(lines)


def _band(found: Sequence[Judged]) -> str:
    if not found:
        return ""
    outcomes = [j.record["gate"]["outcome"] for j in found]
    others = sum(o not in ("red", "green") for o in outcomes)
    return f"{outcomes.count('red')} of {len(found)}" + (f" [{others}]" if others else "")


def _doses(figures: Figures) -> str:
    lines = [
        "## Every checkpoint",
        "",
        "Truly lost: the worst claims that unseen items show, points; in brackets the worst in margins.",
        "",
        "| family | dose | base | truly lost | gate | named | items | CPU-s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for judged in figures.everything:
        record, gate = judged.record, judged.record["gate"]
        said = gate["outcome"]
        if record["warned"]:
            said += f"; told to warn: {record['warned']['outcome']}"
        cells = [record["family"], record["dose"], str(record["base"]), _lost(judged), said]
        cells += [", ".join(judged.gate["named"]) or _unnamed(judged), f"{judged.gate['items']:,}"]
        lines.append(f"| {' | '.join(cells)} | {gate['cpu_s']:.0f} |")
    return "\n".join(lines)


def _unnamed(judged: Judged) -> str:
    return "the mean over domains" if judged.red and judged.gate.get("mean") == "fail" else ""


def _lost(judged: Judged) -> str:
    if not judged.record["truth"]["claims"]:
        return "does not run"
    worst = sorted(judged.lost.items(), key=lambda item: -item[1]["loss"])[:2]
    if not worst:
        return "nothing shown"
    said = ", ".join(f"{name} {100 * of['loss']:.1f}" for name, of in worst)
    return f"{said} [{judged.margins:.1f}]"
