"""BFCL V4, format sensitivity: 200 single-turn items, each asked in 26 forms (Patil et al. 2025).

What is looked at is how far the accuracy of the same items lies apart between forms: in the way that calls
are to be written, how functions are documented, layout and wording (bfcl_forms.py). BFCL shows it and
leaves it out of every overall score. The words are the official ones, read from the installed package
bfcl-eval as data. Native tool calling has no such forms.

Items and answers are those of bfcl.py; which ones is in BFCL_v4_format_sensitivity.json.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from ..harness.records import Generation, Prompt, Sample, Score
from ..harness.tasks import Metric, task
from .bfcl import (
    SETTINGS,
    card,
    judge,
    python_reference,
    samples,
    score_of,
    shown_functions,
)
from .bfcl_decode import NotCalls, python_calls
from .bfcl_files import chosen_items
from .bfcl_form_calls import calls_in, written
from .bfcl_forms import FORMS, Form
from .bfcl_prompts import official_system, package_folder, with_system

_FORMS: Mapping[str, Form] = {form.name: form for form in FORMS}


def spread(accuracies: Sequence[float]) -> dict[str, float]:
    """How far accuracies lie apart: the largest difference, and the sample standard deviation."""
    if len(accuracies) < 2:
        return {}
    return {
        "max_delta": max(accuracies) - min(accuracies),
        "standard_deviation": stdev(accuracies),
    }


@task(
    "bfcl-format-sensitivity",
    domain="tools",
    metrics=(Metric("correct"),),
    settings=SETTINGS,
    card=replace(
        card(
            "",
            "against bfcl_eval @ 6ea57973: prompts in all forms, and answers read, damaged ones too",
        ),
        measures="How much the accuracy of 200 items depends on the form that calls are asked for in.",
        not_measures="Native tool calling, which has no such forms; BFCL leaves it out of overall scores",
        items=200 * len(FORMS),
    ),
)
class FormatSensitivity:
    """The same items in every form."""

    def samples(self) -> Iterator[Sample]:
        """One sample an item and form; its id is the official one, the forms of an item a cluster.

        Raises:
            UsageError: a file or the package bfcl-eval is missing.
            DataError: a file is another one.
        """
        package_folder()
        known = {sample.id: sample for sample in samples()}
        chosen = {category: set(ids) for category, ids in chosen_items().items()}
        number = 0
        for category, ids in chosen.items():
            for own in known.values():
                if own.target["category"] != category or own.id not in ids:
                    continue
                for name in _FORMS:
                    target = {**own.target, "form": name}
                    id = f"format_sensitivity_{number}:{name}:{own.id}"
                    yield Sample(id, own.input, target, cluster=own.id)
                    number += 1

    def prompt(self, sample: Sample) -> Prompt:
        form = _FORMS[sample.target["form"]]
        return with_system(official_system(shown_functions(sample), form), sample.input["turns"])

    def grade(self, sample: Sample, generation: Generation) -> Score:
        form = _FORMS[sample.target["form"]]
        try:
            calls = calls_in(generation.text, form)
        except NotCalls:
            calls = None
        score = score_of(judge(sample, calls), sample, generation, generation.text)
        detail = {**score.detail, "form": form.name}
        return Score(score.value, score.reason, score.extracted, detail=detail)

    def reference(self, sample: Sample) -> str:
        """The accepted calls, written in the sample's form."""
        calls = python_calls(python_reference(sample.target["accepted"]))
        return written(calls, _FORMS[sample.target["form"]])

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """The accuracy in each form, and how far they lie apart once all forms are there."""
        values: defaultdict[str, list[float]] = defaultdict(list)
        for own in scores.values():
            values[own[0].detail["form"]].append(fmean(s.value or 0.0 for s in own))
        found = {f"form/{name}": fmean(own) for name, own in values.items()}
        return {**found, **spread(list(found.values()))} if set(values) == set(_FORMS) else found
