"""Turns the authors' example_model_solutions.jsonl into the JSONL that `waterbed score gsm8k` reads.

    python gsm8k_solutions.py example_model_solutions.jsonl 175b_verification > responses.jsonl

Those solutions end in "A: 18" where the benchmark's rule wants "#### 18"; nothing else is changed. A
solution without such a line is passed on as it is, and fails.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def responses(solutions: Path, model: str) -> Iterator[dict[str, str]]:
    """One `{id, response}` a problem, ids as the suite's: the 0-based line number."""
    with solutions.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            yield {"id": str(number), "response": marked(json.loads(line)[model]["solution"])}


def marked(solution: str) -> str:
    """The solution with its last "A: " turned into "#### "."""
    return re.sub(r"A: (?!.*A: )", "#### ", solution, flags=re.DOTALL)


if __name__ == "__main__":
    for row in responses(Path(sys.argv[1]), sys.argv[2]):
        print(json.dumps(row))
