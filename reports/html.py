"""From a template and its data to one self-contained HTML file.

Style and script are inlined and named by hash in a Content-Security-Policy that forbids everything
else, so a page loads nothing and text in it can run nothing. Every string that reaches a template
is escaped and has its control characters made visible. Not here: what the pages say.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import figures
from .hostile import visible
from .wording import prose

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
_WRITE: dict[str, Callable[[float | None], str]] = {
    "points": figures.points,
    "size": figures.size,
    "percent": figures.percent,
    "count": figures.count,
    "p": figures.p_value,
    "duration": figures.duration,
    "latency": figures.latency,
    "money": figures.money,
    "bytes": figures.storage,
    "parameters": figures.parameters,
    "rate": figures.rate,
}


def figure(value: float | None, kind: str) -> Markup:
    """A number with its exact value beside the shown one: `<data value="-0.068">−6.8</data>`."""
    from markupsafe import Markup

    if value is None:
        return Markup('<span class="none">–</span>')
    return Markup('<data value="{}">{}</data>').format(repr(value), _WRITE[kind](value))


def _shown(value: Any) -> Any:
    """Strings only; what is already Markup was made by a template or by `figure`."""
    return visible(value) if type(value) is str else value


@functools.cache
def environment() -> Environment:
    """Autoescaping, no undefined names, the number formats as filters."""
    import jinja2

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    env.filters.update(_WRITE)
    env.filters["interval"] = lambda c: figures.interval(c.low, c.high)
    env.filters["prose"] = prose
    env.filters["moment"] = figures.moment
    env.globals["figure"] = figure
    return env


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy: this style, this script, nothing from anywhere."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def render(template: str, *styles: str, **data: Any) -> bytes:
    """The page as UTF-8; `styles` are files of its own beside page.css."""
    from markupsafe import Markup

    style, script = (
        "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)
        for names in (("page.css", *styles), ("page.js",))
    )
    page = (
        environment()
        .get_template(template)
        .render(style=Markup(style), script=Markup(script), csp=policy(style, script), **data)
    )
    return page.encode("utf-8")


def write(out: Path, content: bytes) -> Path:
    """Write in one step, so that a reader never meets half a page."""
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(out.name + ".partial")
    aside.write_bytes(content)
    os.replace(aside, out)
    return out
