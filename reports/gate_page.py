"""The gate page: one self-contained HTML file that says what a gate decided, and why.

Every figure comes from the Verdict. Works from `file://`, without JavaScript, without style, on a
phone and on paper, and loads nothing. Not here: the decision (harness/gate.py), the arrangement
(gate_view.py), the wording of the rules (the Verdict's own sentences).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..harness.verdict import Verdict
from .budget import Plan, fitted
from .flip_view import least_bytes
from .flips import FlipGroup
from .gate_view import gate_view
from .html import render, write

__all__ = ["write_gate_page"]

#: What a gate writes beside its page.
FILES = ("verdict.json", "junit.xml", "summary.md")


def write_gate_page(
    verdict: Verdict,
    out: Path,
    *,
    flips: Sequence[FlipGroup] = (),
    history: Mapping[str, Sequence[float | None]] | None = None,
    files: Sequence[str] | None = None,
) -> Path:
    """Write the page of a gate.

    Args:
        verdict: what was decided.
        out: the HTML file to write, in one step.
        flips: samples that changed, from `collect_flips`; fewer and shorter ones are shown where
            the page would exceed one megabyte, and the page says so.
        history: scores (proportions, oldest first, None where missing) of earlier Runs by claim id.
        files: names of files beside the page that it links to; by default those of `FILES` that
            are there already.

    Returns:
        `out`.
    """
    links = [name for name in FILES if (out.parent / name).is_file()] if files is None else files
    by_claim = {(t.task, t.metric): d.badge for d in verdict.domain_list for t in d.tasks}

    def page(plan: Plan) -> bytes:
        view = gate_view(verdict, flips, history or {}, plan)
        return render("gate.html.jinja", view=view, v=verdict, plan=plan, files=links)

    def least(plan: Plan) -> int:
        limits = [
            (g, plan.samples if by_claim.get((g.task, g.metric)) == "fail" else plan.others)
            for g in flips
        ]
        return least_bytes(limits, plan.characters)

    return write(out, fitted(page, least))
