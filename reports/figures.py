"""How numbers are written for people: points, percent, intervals, p-values, counts.

Everything takes proportions, as a Verdict stores them. A difference is in points with a real minus
sign and always a sign; a score is in percent; what is missing is a dash. Nothing is computed here.
"""

from __future__ import annotations

from datetime import UTC, datetime

MINUS = "−"
ABSENT = "–"


def _fixed(value: float, digits: int) -> str:
    """A number without "-0.0"; one more digit where rounding would hide which side of zero it is."""
    text = f"{abs(value):.{digits}f}"
    if value and float(text) == 0:
        text = f"{abs(value):.{digits + 1}f}"
    return text


def _sign(value: float, text: str, plus: str) -> str:
    if float(text) == 0:
        return ""
    return MINUS if value < 0 else plus


def points(value: float | None) -> str:
    """A difference in points, always signed: -0.068 becomes "−6.8"."""
    if value is None:
        return ABSENT
    text = _fixed(value * 100, 1)
    return _sign(value, text, "+") + text


def size(value: float | None) -> str:
    """A size in points, without a plus sign: a margin, a blind spot."""
    if value is None:
        return ABSENT
    text = _fixed(value * 100, 1)
    return _sign(value, text, "") + text


def percent(value: float | None) -> str:
    """A score in percent, without the sign: 0.68 becomes "68.0"."""
    return size(value)


def interval(low: float | None, high: float | None) -> str:
    """Both ends in points: "[−9.6, −4.1]"."""
    if low is None or high is None:
        return ABSENT
    return f"[{points(low)}, {points(high)}]"


def count(value: float | None) -> str:
    """A whole number with thousands separated: "1,319"."""
    if value is None:
        return ABSENT
    return f"{value:,.0f}".replace("-", MINUS)


def p_value(value: float | None) -> str:
    """A p-value; below the floor of the search it is only "< 1e-7"."""
    if value is None:
        return ABSENT
    if value < 1e-7:
        return "< 1e−7"
    if value < 0.001:
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{MINUS}{abs(int(exponent))}"
    return f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """Wall time in the two largest units: "1 h 04 min"."""
    if seconds is None:
        return ABSENT
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def latency(seconds: float | None) -> str:
    """The wait for one answer: "0.043 s"."""
    return ABSENT if seconds is None else f"{seconds:.3g} s"


def money(amount: float | None) -> str:
    """An amount in the currency of the prices that the user told: "1,204.50", "0.0312"."""
    if amount is None:
        return ABSENT
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.3g}"


def storage(number: float | None) -> str:
    """Bytes in the decimal unit that fits: "560 kB", "1.28 MB"."""
    return ABSENT if number is None else f"{_scaled(number, ('', 'k', 'M', 'G', 'T'))}B"


def parameters(number: float | None) -> str:
    """Weights, as people count them: "320k", "7.62B"."""
    return ABSENT if number is None else _scaled(number, ("", "k", "M", "B", "T")).replace(" ", "")


def rate(number: float | None) -> str:
    """A number per second: "1,480", "3.21"."""
    if number is None:
        return ABSENT
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _scaled(number: float, units: tuple[str, ...]) -> str:
    """Three digits and a unit; each is a thousand of the one before."""
    power = 0
    while abs(number) >= 999.5 and power < len(units) - 1:
        number, power = number / 1000, power + 1
    digits = max(0, 2 - len(f"{abs(number):.0f}") + 1) if power else 0
    return f"{number:.{digits}f} {units[power]}"


def moment(text: str) -> str:
    """An ISO date and time as "2026-11-20 17:20 UTC"; anything else as it is."""
    try:
        when = datetime.fromisoformat(text)
        if "T" not in text or when.tzinfo is None:
            return text
        return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return text
