"""What CI systems read: JUnit XML, the GitHub step summary, annotation lines. All from a Verdict.

JUnit: a suite is a claim, a case is a task of it; the decision is the claim's, so each of its tasks
carries the claim's outcome with the rule as its text. Inconclusive is `skipped`, an instrument's
failure is `error`. Not here: uploading, commenting, exit codes.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from ..harness.verdict import DomainVerdict, TaskVerdict, Verdict
from . import wording
from .figures import count, interval, points, size
from .hostile import visible
from .html import write

#: GitHub drops a step summary beyond this size, whole.
SUMMARY_BYTES = 1024 * 1024
_TABLE_ROWS = 20
#: GitHub shows no more than this many annotations a step.
_ANNOTATIONS = 10
_CUT = "\n\n_Cut to fit GitHub's limit of 1 MiB; the page has everything._\n"


def junit_xml(verdict: Verdict) -> bytes:
    """The verdict as JUnit XML; every label in it is made legal XML first."""
    root = ElementTree.Element("testsuites", name=visible(wording.first_line(verdict)))
    if verdict.problems:
        suite = ElementTree.SubElement(root, "testsuite", name="instrument")
        case = ElementTree.SubElement(suite, "testcase", classname="instrument", name="data")
        _outcome(case, "error", verdict.problems[0], "\n".join(verdict.problems))
    for domain in verdict.domain_list:
        _suite(root, domain)
    if verdict.pooled:
        suite = ElementTree.SubElement(root, "testsuite", name="mean over domains")
        case = ElementTree.SubElement(suite, "testcase", classname="pool", name="mean over domains")
        text = wording.prose(verdict.pooled.sentence)
        _outcome(case, _kind(verdict.pooled.badge, ()), text, text)
    for element in (root, *root):
        _totals(element)
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def write_junit(verdict: Verdict, out: Path) -> Path:
    """Write `junit_xml` in one step; returns `out`."""
    return write(out, junit_xml(verdict))


def _suite(root: ElementTree.Element, domain: DomainVerdict) -> None:
    name = visible(domain.id)
    suite = ElementTree.SubElement(root, "testsuite", name=name)
    kind = _kind(domain.badge, domain.flags)
    for task in domain.tasks or (None,):
        title = visible(task.task) if task else name
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=title)
        _outcome(case, kind, wording.rule(domain), _figures(domain, task))


def _kind(badge: str, flags: Iterable[str]) -> str:
    if "data" in flags:
        return "error"
    return {"pass": "", "fail": "failure", "inconclusive": "skipped"}[badge]


def _outcome(case: ElementTree.Element, kind: str, message: str, text: str) -> None:
    if kind:
        outcome = ElementTree.SubElement(case, kind, message=visible(message), type=kind)
        outcome.text = visible(text)


def _figures(domain: DomainVerdict, task: TaskVerdict | None) -> str:
    lines = [wording.rule(domain), wording.prose(domain.sentence)]
    if task:
        c = task.comparison
        change = f"{points(c.delta)} points {interval(c.low, c.high)}"
        lines.append(f"{task.task}: {change}, n = {count(c.n)}, {c.lost} lost, {c.gained} gained")
    return "\n".join(dict.fromkeys(lines))


def _totals(element: ElementTree.Element) -> None:
    """Counts that JUnit readers expect on every level."""
    element.set("tests", str(len(list(element.iter("testcase")))))
    for tag, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        element.set(attribute, str(len(list(element.iter(tag)))))


def step_summary(verdict: Verdict, limit: int = SUMMARY_BYTES) -> str:
    """Markdown for `$GITHUB_STEP_SUMMARY`: the verdict first, at most 20 rows, details folded.

    Longer than `limit` bytes it is cut at a line's end, and says so.
    """
    toy = " (toy model)" if wording.is_toy(verdict) else ""
    first = f"{wording.GLYPHS[wording.tone(verdict)]} **{_md(wording.first_line(verdict))}**{toy}"
    lines = [first, "", *_notes(verdict), *_table(verdict), "", *_details(verdict)]
    text = "\n".join(lines) + "\n"
    if len(text.encode()) <= limit:
        return text
    room = text.encode()[: max(0, limit - len(_CUT.encode()))].decode(errors="ignore")
    return room[: room.rfind("\n")].rstrip() + _CUT


def _notes(verdict: Verdict) -> list[str]:
    sides = f"`{_code(verdict.candidate.label)}` against `{_code(verdict.baseline.label)}`"
    policy = f"policy `{_code(str(verdict.policy.get('name', 'unnamed')))}`"
    named = (verdict.waterbed.sentence,) if verdict.waterbed else ()
    notes = [f"- {_md(text)}" for text in (*named, *verdict.problems, *verdict.warnings)]
    return [
        f"{sides}, {policy}, exit code {verdict.exit_code}",
        "",
        *notes,
        *([""] if notes else []),
    ]


def _table(verdict: Verdict) -> Iterator[str]:
    yield "| claim | change | 90% interval | allowed | n | blind spot | verdict |"
    yield "|---|--:|--:|--:|--:|--:|---|"
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    rows = sorted(verdict.domain_list, key=lambda d: order[d.badge])
    for domain in rows[:_TABLE_ROWS]:
        c = domain.comparison
        word, _, glyph = wording.BADGES[domain.badge]
        figures = (points(c.delta), interval(c.low, c.high), points(-domain.margin), count(c.n))
        cells = (_md(domain.id), *figures, size(domain.blind_spot), f"{glyph} {word}")
        yield f"| {' | '.join(cells)} |"
    if len(rows) > _TABLE_ROWS:
        yield ""
        yield f"{len(rows) - _TABLE_ROWS} more claims are on the page."


def _details(verdict: Verdict) -> Iterator[str]:
    yield "<details><summary>The rules, in words</summary>\n"
    for domain in verdict.domain_list:
        yield f"- **{_md(domain.id)}**: {_md(wording.rule(domain))}"
    yield "\n</details>"
    if verdict.command:
        yield f"\nAgain: `{_code(verdict.command)}`"


def _md(text: str) -> str:
    """Text that Markdown, tables and HTML leave alone."""
    flat = " ".join(visible(text).split())
    return re.sub(r"([\\`*_{}\[\]<>|#~&@])", lambda m: f"&#{ord(m[1])};", flat)


def _code(text: str) -> str:
    return " ".join(visible(text).split()).replace("`", "'")


def annotations(verdict: Verdict, policy_file: Path | None = None) -> list[str]:
    """Workflow commands, one a regressed claim, pointing at the policy's line that names it.

    A problem of the instruments comes first. At most ten, which is what GitHub shows.
    """
    lines = [_command("error", "waterbed: instrument", text, "") for text in verdict.problems]
    for domain in verdict.domain_list:
        if domain.badge == "fail":
            place = _place(policy_file, domain)
            lines.append(_command("error", f"waterbed: {domain.id}", wording.rule(domain), place))
    if not lines and verdict.outcome == "inconclusive":
        lines.append(_command("warning", "waterbed", wording.first_line(verdict), ""))
    return lines[:_ANNOTATIONS]


def _place(policy_file: Path | None, domain: DomainVerdict) -> str:
    if policy_file is None:
        return ""
    lines = policy_file.read_text(encoding="utf-8").splitlines() if policy_file.is_file() else []
    names = re.compile(rf"\b({re.escape(domain.id)}|{re.escape(domain.domain)})\b")
    line = next((i for i, text in enumerate(lines, 1) if names.search(text)), 1)
    return f"file={_property(str(policy_file))},line={line},"


def _command(level: str, title: str, message: str, place: str) -> str:
    return f"::{level} {place}title={_property(title)}::{_escape(message)}"


def _escape(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
