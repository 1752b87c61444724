"""waterbed: evaluate every checkpoint, and see what post-training took elsewhere.

The public names are loaded on first use, so that `import waterbed` costs nothing and loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .harness.api import evaluate as evaluate
    from .harness.api import gate as gate
    from .harness.api import score as score
    from .harness.backends.fake import FakeBackend as FakeBackend
    from .harness.checkpoints import Checkpoint as Checkpoint
    from .harness.datasets import dataset as dataset
    from .harness.loop import loop as loop
    from .harness.policy import Policy as Policy
    from .harness.recipe import Recipe as Recipe
    from .harness.records import Generate as Generate
    from .harness.records import Generation as Generation
    from .harness.records import GenerationSettings as GenerationSettings
    from .harness.records import Sample as Sample
    from .harness.records import Score as Score
    from .harness.rewards import scorer as scorer
    from .harness.sampling import Sampling as Sampling
    from .harness.stage import stage as stage
    from .harness.tasks import Card as Card
    from .harness.tasks import Metric as Metric
    from .harness.tasks import task as task
    from .harness.verdict import Verdict as Verdict

__version__ = "0.1.0"

_PUBLIC = {
    "evaluate": "harness.api",
    "score": "harness.api",
    "gate": "harness.api",
    "loop": "harness.loop",
    "FakeBackend": "harness.backends.fake",
    "Policy": "harness.policy",
    "Recipe": "harness.recipe",
    "Verdict": "harness.verdict",
    "Checkpoint": "harness.checkpoints",
    "task": "harness.tasks",
    "Card": "harness.tasks",
    "Metric": "harness.tasks",
    "Sampling": "harness.sampling",
    "scorer": "harness.rewards",
    "stage": "harness.stage",
    "dataset": "harness.datasets",
    "Sample": "harness.records",
    "Score": "harness.records",
    "Generate": "harness.records",
    "Generation": "harness.records",
    "GenerationSettings": "harness.records",
}
__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'waterbed' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
