"""The look is legible: contrast in every theme, shapes beside colors, a script that stays small."""

from __future__ import annotations

import itertools
import re

import pytest

from waterbed.reports.html import TEMPLATES
from waterbed.reports.wording import BADGES, GLYPHS, SHAPES

STYLE = (TEMPLATES / "page.css").read_text(encoding="utf-8")
SCRIPT = (TEMPLATES / "page.js").read_text(encoding="utf-8")
TEXT = ("fg", "muted", "link", "fail", "pass", "undecided")
GROUND = ("bg", "soft", "fail-soft", "pass-soft", "undecided-soft")


def themes() -> dict[str, dict[str, str]]:
    """The custom properties of the light, dark and print rules; later ones inherit from light."""
    blocks = re.findall(r":root\{(.*?)\}", STYLE, re.DOTALL)
    light, dark, paper = (dict(re.findall(r"--([\w-]+):(#\w+)", block)) for block in blocks)
    return {"light": light, "dark": light | dark, "print": light | paper}


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2, definition) of #rgb or #rrggbb."""
    digits = color[1:] if len(color) == 7 else "".join(c * 2 for c in color[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
@pytest.mark.parametrize(("text", "ground"), [*itertools.product(TEXT, GROUND)])
def test_text_has_a_contrast_of_at_least_four_and_a_half(
    theme: str, text: str, ground: str
) -> None:
    colors = themes()[theme]
    assert contrast(colors[text], colors[ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
@pytest.mark.parametrize("mark", ["del", "ins"])
def test_marked_words_stay_readable(theme: str, mark: str) -> None:
    colors = themes()[theme]
    assert contrast(colors["fg"], colors[mark]) >= 4.5


def test_every_theme_defines_every_color_it_is_asked_for() -> None:
    used = set(re.findall(r"var\(--([\w-]+)\)", STYLE))
    assert used <= themes()["light"].keys()
    assert themes()["light"].keys() == themes()["dark"].keys()


def test_each_verdict_has_a_shape_and_a_glyph_of_its_own() -> None:
    assert len({shape for _, shape, _ in BADGES.values()}) == len(BADGES)
    assert len(set(GLYPHS.values())) == len(GLYPHS) == len(set(SHAPES.values()))


def test_style_and_script_load_nothing_and_close_nothing() -> None:
    for text in (STYLE, SCRIPT):
        assert not re.search(r"https?:|url\(|@import|</|fetch|XMLHttp|eval", text)
    assert len(SCRIPT.splitlines()) <= 50
