"""A Verdict for a terminal: the same first line, a table of claims, what was not seen.

Shows no number that is not in the Verdict. Not here: pages and files (gate_page.py, ci.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..harness.verdict import AnchorVerdict, DomainVerdict, Verdict
from . import wording
from .drift_view import drift_lines, drift_notes
from .figures import count, interval, points, size
from .hostile import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_STYLES = {"pass": "cyan", "fail": "bold red", "inconclusive": "yellow", "invalid": "bold red"}


def print_verdict(verdict: Verdict, console: Console | None = None) -> None:
    """Print a verdict; without a console, to standard output."""
    from rich.console import Console

    console = console or Console()
    console.print(first_line(verdict), soft_wrap=True)
    named = (verdict.waterbed.sentence,) if verdict.waterbed else ()
    for text in (*named, *verdict.problems, *verdict.warnings):
        console.print(f"  {visible(text)}", soft_wrap=True, markup=False, highlight=False)
    console.print()
    console.print(claims_table(verdict))
    for domain in verdict.domain_list:
        if domain.badge == "fail" or "missing" in domain.flags:
            console.print(
                visible(wording.rule(domain)), soft_wrap=True, markup=False, highlight=False
            )
    if verdict.anchor:
        console.print(anchor_table(verdict.anchor))
    if verdict.drift.rows:
        console.print(drift_table(verdict))
    for text in (note for note in drift_notes(verdict) if not verdict.drift.rows):
        console.print(visible(text), style="dim", soft_wrap=True, markup=False, highlight=False)
    if verdict.command:
        again = f"Again: {visible(verdict.command)}"
        console.print(again, style="dim", soft_wrap=True, markup=False, highlight=False)


def first_line(verdict: Verdict) -> Text:
    """Shape, headline and the one sentence why; a toy model is called one."""
    from rich.text import Text

    tone = wording.tone(verdict)
    rest = visible(wording.first_line(verdict))[len(verdict.headline) :]
    text = Text(f"{wording.GLYPHS[tone]} ", style=_STYLES[tone])
    text.append(verdict.headline, style=_STYLES[tone])
    text.append(rest + (" (toy model)" if wording.is_toy(verdict) else ""), style="default")
    return text


def claims_table(verdict: Verdict) -> Table:
    """One row a claim, in the order of the policy; the pool last."""
    from rich.text import Text

    toy = " (toy model)" if wording.is_toy(verdict) else ""
    sides = f"{verdict.candidate.label} against {verdict.baseline.label}{toy}"
    table = _table(
        sides, "claim", ("change", "90% interval", "limit", "n", "blind\nspot"), "verdict"
    )
    for domain in verdict.domain_list:
        table.add_row(*_row(domain), _badge(domain.badge))
    if verdict.pooled:
        pool = verdict.pooled
        figures = (points(pool.delta), interval(pool.low, pool.high), "", "", size(pool.blind_spot))
        table.add_row(Text("mean over domains"), *figures, _badge(pool.badge))
    return table


def anchor_table(anchor: AnchorVerdict) -> Table:
    """The same claims against the Run that is kept for good."""
    title = f"against the anchor {anchor.side.label}"
    table = _table(
        title, "claim", ("change", "90% interval", "limit", "n", "blind\nspot"), "verdict"
    )
    for domain in anchor.domain_list:
        table.add_row(*_row(domain), _badge(domain.badge))
    return table


def drift_table(verdict: Verdict) -> Table:
    """How the answers drifted, beside the baseline against itself."""
    from rich.text import Text

    title = "behavior drift in points (lengths in %)"
    table = _table(title, "what", ("change", "90% interval", "A/A", "n"), "")
    styles = {"fail": _STYLES["fail"], "warn": _STYLES["inconclusive"], "": ""}
    for line in drift_lines(verdict):
        cells = (line.words, line.change, line.interval, line.noise, count(line.n))
        shown = [Text(visible(cell)) for cell in cells]
        table.add_row(*shown, Text(visible(line.state.split(":")[0]), style=styles[line.tone]))
    return table


def _table(title: str, first: str, numbers: tuple[str, ...], last: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(visible(title)), box=box.SIMPLE_HEAD, title_justify="left")
    table.pad_edge, table.collapse_padding = False, True
    table.add_column(first, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(last, no_wrap=True)
    return table


def _row(domain: DomainVerdict) -> list[Text]:
    from rich.text import Text

    c = domain.comparison
    cells = [
        visible(domain.id),
        points(c.delta),
        interval(c.low, c.high),
        points(-domain.margin),
        count(c.n),
        size(domain.blind_spot),
    ]
    return [Text(cell) for cell in cells]


def _badge(badge: str) -> Text:
    from rich.text import Text

    word, _, glyph = wording.BADGES[badge]
    return Text(f"{glyph} {word}", style=_STYLES[badge])
