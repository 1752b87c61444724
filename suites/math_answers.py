r"""Answers to mathematics problems: finding them in a text, and whether they equal the gold answer.

`equality` is the rule of prm800k (Lightman et al. 2023, arXiv:2305.20050; openai/prm800k, grading/grader.py),
written anew: equal after Hendrycks's normalization (MATH, arXiv:2103.03874), or equal after a second one,
or, element by element, a difference that sympy simplifies to 0. Its oddities are kept: an unreduced
fraction is wrong, an integer must be written as one, `\mbox{9}` is empty, `x=5` equals `5` but `xyz=5`
does not.

Where this departs from the reference: a comparison gets 5 processor seconds (there: 10 s on the wall
clock) and 1 GiB; an answer longer than 10,000 signs is not shown to be equal; formulas with quotes,
backslashes or attributes never reach Python's evaluation.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal

from ..harness.records import Generation, Score
from .math_compare import compare
from .math_latex import latex_to_text

#: Signs of an answer that is compared; the longest of MATH-500 has 53.
LONGEST = 10_000

_TEXT = re.compile(r"^\\text\{(.+?)\}$")
_BOX = re.compile(r"\\(?:boxed|fbox)\b")
_ANSWER = re.compile(r"answer\s*:\s*([^\n]+)", re.IGNORECASE)
_SLASH = re.compile(r"(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)")
_UNITS = (
    "degree cm centimeter meter mile second minute hour day week month year foot feet inch yard"
)
_MEASURES = [(unit, re.compile(rf"{unit}(es)?(s)? *(\^[0-9]+)?")) for unit in _UNITS.split()]
_THOUSANDS = re.compile(r"(\d),(\d\d\d)($|\D)")
_FRACTION = re.compile(r"^-?[0-9]+.?/0*[1-9][0-9]*.?$")
_POWERS = re.compile(r"\^\{|\^\(|\^[0-9]+\^|\^[0-9][0-9]")
_BRACKETS = "()[]"


@dataclass(frozen=True, slots=True)
class Equality:
    """Whether an answer equals the gold one, and by what it was decided."""

    equal: bool
    by: Literal["text", "form", "sympy", "timeout", "limit"]
    """`timeout` and `limit`: sympy could not finish, so the answer is not shown to be equal."""


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{...}` holds (or `\fbox`, or `\boxed 5` up to a `$`); None if it does not close."""
    found = None
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if start < 0 or not (found := _BOX.match(text, start)):
        return None
    rest = text[found.end() : found.end() + LONGEST]
    if not rest.lstrip().startswith("{"):
        return rest.partition("$")[0].partition("\n")[0].strip() or None
    depth = 0
    for brace in re.finditer(r"[{}]", rest):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return rest[rest.index("{") + 1 : brace.start()]
    return None


def final_answer(text: str) -> str | None:
    """The boxed answer, else what follows the first `Answer:` on its line."""
    inside = boxed(text)
    if inside is not None:
        return inside
    found = _ANSWER.search(text)
    return found[1].strip() if found else None


def no_answer(generation: Generation) -> Score:
    """0 for a text without an answer, and why there is none."""
    if not generation.text.strip():
        return Score(0.0, "empty")
    return Score(0.0, "truncated" if generation.truncated else "unparsed")


def equality(given: str, gold: str) -> Equality:
    """Compare a given answer with the gold one by prm800k's rule.

    Raises:
        InstrumentError: sympy's helper process cannot be started or was killed from outside.
    """
    if len(given) > LONGEST:
        return Equality(False, "limit")
    if plain_form(given) == plain_form(gold):
        return Equality(True, "text")
    ours, theirs = full_form(gold), full_form(given)
    if ours == theirs:
        return Equality(True, "form")
    pairs = _open_pairs(ours, theirs)
    if pairs is None:
        return Equality(False, "form")
    if not pairs:
        return Equality(True, "form")
    verdict = compare(pairs)
    by = verdict if verdict in ("timeout", "limit") else "sympy"
    return Equality(verdict == "equal", by)


@functools.lru_cache(maxsize=4096)
def plain_form(answer: str) -> str:
    """Hendrycks's normalization of MATH answers."""
    text = answer.strip()
    if found := _TEXT.search(text):
        text = found[1].strip()
    try:
        return _plain(text)
    except ValueError:
        return text


def _plain(text: str) -> str:
    out = text.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    out = out.replace("tfrac", "frac").replace("dfrac", "frac")
    for gone in ("\\left", "\\right", "^{\\circ}", "^\\circ", "\\$"):
        out = out.replace(gone, "")
    before, *units = out.split("\\text{ ")
    if len(units) > 1:
        raise ValueError("more than one unit")
    out = before.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if out.startswith("."):
        out = f"0{out}"
    if out.count("=") == 1 and out.index("=") <= 2:
        out = out.partition("=")[2]
    out = _fractions(_roots(out).replace(" ", ""))
    if out == "0.5":
        return "\\frac{1}{2}"
    if found := _SLASH.fullmatch(out):
        return f"\\frac{{{found[1]}}}{{{found[2]}}}"
    return out


def _roots(text: str) -> str:
    r"""`\sqrt3` as `\sqrt{3}`."""
    first, *rest = text.split("\\sqrt")
    if "" in rest:
        raise ValueError("a root of nothing")
    braced = (part if part[0] == "{" else f"{{{part[0]}}}{part[1:]}" for part in rest)
    return "\\sqrt".join([first, *braced])


def _fractions(text: str) -> str:
    r"""`\frac12` as `\frac{1}{2}`, `\frac1{2}` too."""
    first, *rest = text.split("\\frac")
    for number, part in enumerate(rest):
        if not part:
            raise ValueError("a fraction of nothing")
        if part[0] == "{":
            continue
        if len(part) < 2:
            return text
        under = part[1:] if part[1] == "{" else f"{{{part[1]}}}{part[2:]}"
        rest[number] = f"{{{part[0]}}}{under}"
    return "\\frac".join([first, *rest])


@functools.lru_cache(maxsize=4096)
def full_form(answer: str) -> str:
    """prm800k's own normalization: no units, no LaTeX, no spaces, lower case, integers as such."""
    found = _TEXT.search(answer)
    text = found[1] if found else answer
    text = text.replace("\\%", "%").replace("\\$", "$").replace("$", "").replace("%", "")
    text = text.replace(" or ", " , ").replace(" and ", " , ")
    for word, power in (("million", 6), ("billion", 9), ("trillion", 12)):
        text = text.replace(word, f"*10^{power}")
    for unit, pattern in _MEASURES:
        if unit in text:
            text = pattern.sub("", text)
    text = re.sub(r"\^ *\\circ", "", text)
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = re.sub(r",\\! *", "", text)
    whole = _whole(text)
    text = _unlatexed(text) if whole is None else str(whole)
    text = re.sub("- *", "-", text)
    text = re.sub("([0-9]) +([0-9])", r"\1+\2", text)  # 7 3/4 is 7+3/4
    text = text.replace(" ", "").replace("{", "").replace("}", "").lower()
    if _is_whole(text):
        try:
            return str(int(float(text.replace(",", ""))))
        except ValueError:
            return text
    return text


def _unlatexed(text: str) -> str:
    if "\\" not in text:
        return text
    for big in ("\\tfrac", "\\dfrac"):
        text = text.replace(big, "\\frac")
    try:
        text = latex_to_text(text.replace("\\frac", " \\frac"))
    except ValueError:
        return text
    for sign, name in (
        ("√", "sqrt"),
        ("π", "pi"),
        ("∞", "inf"),
        ("∪", "U"),
        ("·", "*"),
        ("×", "*"),
    ):
        text = text.replace(sign, name)
    return text.strip()


def _whole(text: str) -> int | None:
    """The integer that a number is within 1e-7."""
    try:
        value = float(text)
        nearest = round(value)
    except (ValueError, OverflowError):
        return None
    return nearest if abs(value - nearest) <= 1e-7 else None


def _is_whole(text: str) -> bool:
    return _whole(_joined_thousands(text)) is not None


def _joined_thousands(text: str) -> str:
    """`1,000,000` as `1000000`; commas elsewhere stay."""
    while (joined := _THOUSANDS.sub(r"\1\2\3", text)) != text:
        text = joined
    return text


def _elements(text: str) -> list[str]:
    text = _joined_thousands(text)
    inner = text[1:-1]
    bracketed = inner and text[0] in _BRACKETS and text[-1] in _BRACKETS
    if bracketed and not any(bracket in inner for bracket in _BRACKETS):
        return [part.strip() for part in inner.split(",")]
    return [text] if text else []


def _open_pairs(gold: str, given: str) -> tuple[tuple[str, str], ...] | None:
    """The pairs of elements that sympy must decide; None if something else shows a difference."""
    if not given:
        return None
    ours, theirs = _elements(gold), _elements(given)
    if len(ours) != len(theirs):
        return None
    if len(ours) > 1 and (gold[0] != given[0] or gold[-1] != given[-1]):
        return None
    pairs: list[tuple[str, str]] = []
    for a, b in zip(ours, theirs, strict=True):
        if _FRACTION.search(a) and _FRACTION.search(b):
            if a != b:
                return None
        elif _is_whole(a) != _is_whole(b) or not _may_be_formulas(a, b):
            return None
        else:
            pairs.append((a, b))
    return tuple(pairs)


def _may_be_formulas(a: str, b: str) -> bool:
    """At most two letters in all besides sqrt and frac, and no powers that could grow large."""
    both = f"({a})-({b})"
    letters = {sign for sign in both.replace("sqrt", "").replace("frac", "") if sign.isalpha()}
    return len(letters) <= 2 and not _POWERS.search(both)
