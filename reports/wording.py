"""The words and shapes that stand for a verdict, the same on every page and in every file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..harness.verdict import Comparison, DomainVerdict, Verdict
from .figures import MINUS

#: Badge -> (word shown to people, shape of the mark, glyph for text-only places).
BADGES = {
    "pass": ("pass", "disc", "●"),
    "fail": ("regressed", "triangle", "▼"),
    "inconclusive": ("inconclusive", "square", "□"),
}
#: Headline -> tone of the page; a headline that is not listed reads as undecided.
_TONES = {
    "NO HARM SHOWN": "pass",
    "NO NEW HARM SHOWN": "pass",
    "PASS": "pass",
    "PASS, WITH A WAIVER": "pass",
    "REGRESSION": "fail",
    "INCONCLUSIVE": "inconclusive",
    "INVALID": "invalid",
}
GLYPHS = {"pass": "●", "fail": "▼", "inconclusive": "□", "invalid": "✕"}
SHAPES = {"pass": "disc", "fail": "triangle", "inconclusive": "square", "invalid": "cross"}


def tone(verdict: Verdict) -> str:
    """`pass`, `fail`, `inconclusive` or `invalid`: color and shape of the whole answer."""
    return _TONES.get(verdict.headline, "inconclusive")


def prose(text: str) -> str:
    """A sentence with a real minus sign before its negative numbers."""
    return re.sub(r"(?<![\w.\-)])-(?=\d)", MINUS, text)


def rule(domain: DomainVerdict) -> str:
    """The rule with what was seen; where there is none, what happened."""
    return prose(domain.rule or domain.sentence)


def reason(verdict: Verdict) -> str:
    """The sentence without the headline, should it begin with it."""
    rest = prose(verdict.sentence.strip())
    if rest.startswith(verdict.headline):
        rest = rest[len(verdict.headline) :].lstrip(" :.,;")
    return rest


def first_line(verdict: Verdict) -> str:
    """What is said first, everywhere: headline and the one sentence why."""
    rest = reason(verdict)
    return f"{verdict.headline}: {rest}" if rest else verdict.headline


def is_toy(verdict: Verdict) -> bool:
    """Whether a side is the embedded pocket model, whose figures are always labelled."""
    return any(marked_toy(side.settings) for side in (verdict.baseline, verdict.candidate))


def marked_toy(settings: Mapping[str, Any]) -> bool:
    """Whether settings say `toy: true`, at whatever depth."""
    nested = (value for value in settings.values() if isinstance(value, Mapping))
    return settings.get("toy") is True or any(marked_toy(value) for value in nested)


def lower_is_better(comparison: Comparison) -> bool:
    """Whether the oriented difference runs against the scores, as for an unsafe rate."""
    if None in (comparison.baseline, comparison.candidate, comparison.delta):
        return False
    moved = (comparison.candidate or 0.0) - (comparison.baseline or 0.0)
    return moved * (comparison.delta or 0.0) < 0


def slug(name: str) -> str:
    """A name as an anchor: lower-case letters, digits and hyphens, never empty."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return plain or _short(name)


def anchors(kind: str, names: Iterable[str]) -> dict[str, str]:
    """A different anchor for each name, stable whatever other names there are unless they collide."""
    taken: dict[str, str] = {}
    for name in dict.fromkeys(names):
        anchor = f"{kind}-{slug(name)}"
        taken[name] = f"{anchor}-{_short(name)}" if anchor in taken.values() else anchor
    return taken


def _short(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
