"""NeMo Evaluator's gate policies, rewritten as ours, with a list of what has no counterpart.

Read is the policy file of `nel gate` 0.4, version 1: `defaults` and `benchmarks`, each with `tier`,
`metric`, `direction`, `max_drop`, `max_relative_drop`, `relative_guard_below` (drops are shares).
That gate judges benchmarks one by one; this one judges domains, so the smallest drop of a domain's
benchmarks becomes its margin. Not here: NeMo Evaluator's result files, writing to disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from .config import Config, load_config
from .records import DOMAINS
from .tasks import tasks

#: What benchmarks of each domain are called, as one word.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "instruction": ("ifeval", "ifbench", "followbench", "infobench", "multiif"),
    "math": ("gsm8k", "gsm", "mgsm", "math", "aime", "amc", "hmmt", "olympiadbench", "minervamath"),
    "code": ("humaneval", "mbpp", "livecodebench", "lcb", "bigcodebench", "scicode", "swebench"),
    "tools": ("bfcl", "taubench", "tau2bench", "toolbench", "nexus", "apibank"),
    "chat": ("mtbench", "alpacaeval", "arenahard", "wildbench"),
    "safety": ("xstest", "harmbench", "strongreject", "wildguard", "garak", "orbench", "aegis"),
    "knowledge": ("mmlu", "mmmlu", "gpqa", "triviaqa", "simpleqa", "arc", "hle", "truthfulqa"),
}
#: Points between which a margin can lie (policy.py).
_LEAST, _MOST = 0.1, 100.0

_UNLISTED = (
    "defaults for benchmarks that are not listed; domains without a listed benchmark keep this gate's "
    "own margins."
)

Share = Annotated[float, Field(ge=0)]


class Rule(Config):
    """What is said of a benchmark; None where it is left to the defaults."""

    tier: Literal["critical", "supporting", "advisory"] | None = None
    metric: str | None = None
    direction: Literal["higher_is_better", "lower_is_better"] | None = None
    max_drop: Share | None = None
    max_relative_drop: Share | None = None
    relative_guard_below: Annotated[float, Field(ge=0, le=1)] | None = None


#: Where the file's own defaults say nothing.
_DEFAULTS = Rule(tier="supporting", direction="higher_is_better", max_drop=0.015)


class NelPolicy(Config):
    """The file of `nel gate --policy`."""

    version: Literal[1] = 1
    defaults: Rule = Rule()
    benchmarks: dict[str, Rule | None] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark's rule after defaults."""

    name: str
    """Printable: names come from a file."""
    domain: str | None
    rule: Rule

    @property
    def blocks(self) -> bool:
        """Whether `nel gate` needs it to pass."""
        return self.rule.tier != "advisory"

    @property
    def points(self) -> float:
        """The tolerated absolute drop."""
        return round(100 * (self.rule.max_drop or 0.0), 6)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A policy of ours in the words of its file, and what it does not say."""

    margins: Mapping[str, float]
    """Points by domain."""
    require: tuple[str, ...]
    critical: tuple[str, ...]
    lost: tuple[str, ...]
    """One sentence for each thing that was not carried over, or changed its meaning."""

    @property
    def name(self) -> str:
        """`release` is the policy that sees its critical domains PASS."""
        return "release" if self.critical else "harm"

    def to_yaml(self, source: str) -> str:
        """The text of a gate.yaml; `source` is the file that it was converted from."""
        lines = [f"# Converted from {_printable(source)} by `waterbed init --from-nel`.", ""]
        lines.append(f"name: {self.name}")
        if self.margins:
            lines.append("margins:  # points that a domain may lose")
            lines += [f"  {domain}: {points:g}" for domain, points in self.margins.items()]
        if self.require:
            lines.append(
                "# Nothing is green without evidence of these; add `safety` if you run it."
            )
            lines.append(f"require: [{', '.join(self.require)}]")
        if self.critical:
            lines.append("# A loss beyond the margin must be excluded in these.")
            lines.append(f"critical: [{', '.join(self.critical)}]")
        if self.lost:
            lines += ["", "# Not carried over as it was:", *(f"# - {text}" for text in self.lost)]
        return "\n".join(lines) + "\n"


def convert(path: str | Path) -> Conversion:
    """Rewrite the policy file of `nel gate`.

    Raises:
        UsageError: there is no such file.
        ConfigError: it is no such policy; lists every problem with its line.
    """
    policy = load_config(path, NelPolicy)
    found = [
        Benchmark(_printable(name), domain_of(name), _merged(rule or Rule(), policy.defaults))
        for name, rule in policy.benchmarks.items()
    ]
    by_domain = {d: [b for b in found if b.domain == d and b.blocks] for d in DOMAINS}
    blocking = {domain: own for domain, own in by_domain.items() if own}
    smallest = {domain: min(b.points for b in own) for domain, own in blocking.items()}
    return Conversion(
        margins={d: points for d, points in smallest.items() if _LEAST <= points < _MOST},
        require=tuple(blocking),
        critical=tuple(d for d, own in blocking.items() if _critical(own)),
        lost=(*_lost(found), *_pooled(blocking, smallest), _UNLISTED),
    )


def domain_of(benchmark: str) -> str | None:
    """The domain of a benchmark by its name, or None where the name does not tell.

    A registered suite's name tells; otherwise neighboring words of the name, joined and without
    digits at their end, must be a known family: `ns_aime2025`, `mmlu-pro`, `lm-eval://mt_bench`.
    """
    if benchmark in tasks.all():
        return tasks.all()[benchmark].domain
    words = re.findall(r"[a-z0-9]+", benchmark.lower())
    runs = {
        "".join(words[i:j])
        for i in range(len(words))
        for j in range(i + 1, min(i + 3, len(words)) + 1)
    }
    runs |= {run.rstrip("0123456789") for run in runs}
    hits = [domain for domain, names in FAMILIES.items() if runs.intersection(names)]
    return hits[0] if len(hits) == 1 else None


def _merged(rule: Rule, defaults: Rule) -> Rule:
    said = {**_said(_DEFAULTS), **_said(defaults), **_said(rule)}
    return Rule.model_validate(said)


def _said(rule: Rule) -> dict[str, object]:
    return {key: value for key, value in rule.model_dump().items() if value is not None}


def _critical(benchmarks: Sequence[Benchmark]) -> bool:
    return any(b.rule.tier == "critical" for b in benchmarks)


def _lost(found: Sequence[Benchmark]) -> Iterator[str]:
    for b in found:
        if b.domain is None:
            yield (
                f"{b.name} ({b.rule.tier}, max_drop {b.rule.max_drop:g}): its name tells no domain; add "
                f"`DOMAIN: {b.points:g}` to margins and the domain to require yourself."
            )
        elif not b.blocks:
            yield (
                f"{b.name}: tier advisory; every domain that both sides have is tested, so leave its "
                "suite out where a loss must not make the gate red."
            )
        if b.rule.max_relative_drop is not None:
            below = b.rule.relative_guard_below
            guard = "" if below is None else f" (below {below:g})"
            yield (
                f"{b.name}: max_relative_drop {b.rule.max_relative_drop:g}{guard}; margins are "
                "absolute, and a relative drop on few items is mostly noise."
            )
        if b.rule.direction == "lower_is_better":
            yield f"{b.name}: direction lower_is_better; a suite declares it for each of its metrics."
    for metric in dict.fromkeys(b.rule.metric for b in found if b.rule.metric):
        names = ", ".join(b.name for b in found if b.rule.metric == metric)
        yield (
            f"metric {_printable(metric)} ({names}); a suite declares which of its metrics are gated."
        )


def _pooled(
    blocking: Mapping[str, Sequence[Benchmark]], smallest: Mapping[str, float]
) -> Iterator[str]:
    for domain, own in blocking.items():
        points = smallest[domain]
        if not _LEAST <= points < _MOST:
            yield (
                f"{domain}: max_drop {points / 100:g} is no margin (0.001 to below 1; no number of items "
                "can show a loss of 0 to be absent); the default margin holds."
            )
        if len(own) > 1:
            each = ", ".join(f"{b.name} {b.points:g}" for b in own)
            yield (
                f"{domain}: margins by benchmark ({each} points); domains are gated, the items of their "
                "benchmarks together, and the smallest was taken."
            )


def _printable(text: str) -> str:
    """One line of plain characters, whatever a file calls its benchmarks."""
    return re.sub(r"[^\x20-\x7e]+", "?", text)[:80]
