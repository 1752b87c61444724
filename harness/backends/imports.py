"""Imports torch and transformers in half the time, which is most of a short evaluation.

Transformers' generation code imports scikit-learn, and with it pandas and scipy.stats, for one function
that only assisted decoding calls; here that function is imported when it is called. And hundreds of
thousands of objects that live until the end need no looking through for garbage. Nothing else is
changed, and nothing at all once transformers is loaded.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

GENERATOR = "transformers.generation.candidate_generator"


@contextmanager
def uncollected() -> Iterator[None]:
    """Import and load without garbage collection; what was made is left out of later ones.

    Garbage from before is collected first, so that only what the imports themselves drop is kept.
    """
    if GENERATOR in sys.modules or not gc.isenabled():
        yield
        return
    gc.collect()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def import_transformers() -> Any:
    """The transformers package, with its generation code loaded."""
    import transformers
    from transformers import utils

    if GENERATOR in sys.modules or not hasattr(utils, "is_sklearn_available"):
        return transformers
    available = utils.is_sklearn_available
    utils.is_sklearn_available = lambda: False
    try:
        from transformers.generation import candidate_generator
    finally:
        utils.is_sklearn_available = available
    late: Any = candidate_generator
    late.is_sklearn_available = available
    if not hasattr(late, "roc_curve"):
        late.roc_curve = _roc_curve
    return transformers


def _roc_curve(*args: Any, **kwargs: Any) -> Any:
    from sklearn.metrics import roc_curve

    return roc_curve(*args, **kwargs)
