"""`waterbed demo`: the closed loop on the embedded tiny model, on a CPU, without network.

Pre-trains a base, fine-tunes it on maths alone, gates it (red: the waterbed), fine-tunes it again with
replay, gates that, and leaves two pages. A toy model in a toy world; every effect in it is real.
"""

from __future__ import annotations

import typer


def demo() -> None:
    """Run the closed loop on the embedded tiny model."""
    typer.echo("in progress")
