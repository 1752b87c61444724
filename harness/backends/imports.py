"""Imports transformers without scikit-learn, pandas and scipy.stats behind it.

Its generation code imports `sklearn.metrics` for one function that only assisted decoding calls; that
is a fifth of the start of a short evaluation. Here the function is imported when it is called.
Nothing else of transformers is changed, and nothing at all once it is loaded or lacks these names.
"""

from __future__ import annotations

import sys
from typing import Any

GENERATOR = "transformers.generation.candidate_generator"


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
