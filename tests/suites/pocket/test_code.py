"""The code domain's own programs against its own assertions (nothing here was written by a model)."""

import pytest

from waterbed.suites.pocket.domains import POCKET

ITEMS = list(POCKET["code"].distinct("dev", 200))


def run(source: str, checks: str) -> None:
    exec(f"{source}\n{checks}", {})


def test_every_right_program_passes_its_checks():
    for item in ITEMS:
        run(item.answer, item.target["checks"])


def test_every_planted_defect_fails_its_checks():
    defects = [item for item in ITEMS if item.taught != item.answer]
    assert len(defects) == 40
    for item in defects:
        with pytest.raises(AssertionError):
            run(item.taught, item.target["checks"])
