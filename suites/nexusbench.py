"""NexusBench V2, single turn: one function call that is exactly the wanted one (Nexusflow, 2024).

Six of its benchmarks: NVDLibrary and VirusTotal (common APIs), ITType0, ITType1 and TicketTracking
(instructions that turn meanings around), and TMIHallucination, in which a query tells more than the
tool takes and the call must leave that out. `nexusbench` asks all six, `nexusbench@TicketTracking` one.
Functions are offered as tools; a call written as Python text counts too. Only the first call counts.

Formats as published (nexusflowai/NexusBench @ 40928dbf): rows with `Input` and `Output` of the datasets
named below, TMIHallucination with `user_query`, `original_ground_truth`, `modified_correct_ground_truth`
and, in a second dataset, `json_tools`; tools as `NAME_json` beside `def NAME` in nexusbench/tools/*.py,
read as data. Put the datasets in WATERBED_DATA/nexusbench/<dataset>/ and the folder `tools` beside them.

No row was seen here. The system message is in our words. An item whose own answer is no call of its
tools is unscored; the reference counts it 0. Not here: the agentic benchmarks, and BFCL, which V2 adds.
"""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ..harness.errors import DataError, UsageError
from ..harness.folders import data_path
from ..harness.records import Generation, GenerationSettings, Message, Prompt, Sample, Score
from ..harness.tasks import Card, Metric, task
from .item_files import Row, find_files, read_items, text_of
from .nexusbench_calls import (
    NoCall,
    Signatures,
    expression,
    named_arguments,
    native_arguments,
    native_call,
    signature,
    written_call,
)
from .python_source import UNREAD, functions, literals, parsed

COMMIT = "40928dbf7d96cdfcb45688ea1bd1e00b7a5d8786"
_WHERE = f"nexusbench/tools of github.com/nexusflowai/NexusBench @ {COMMIT[:8]} (Apache-2.0)"
_LICENCE = "code Apache-2.0; the licence of the data was not seen"
_TMI = "TMIHallucination"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Where a benchmark's rows and tools are, and what the model is told."""

    dataset: str
    module: str
    told: str = ""


_REMAPPED = "The tool gives labels another meaning than usual. Go by the tool's meanings."
BENCHMARKS: Mapping[str, Benchmark] = {
    "NVDLibrary": Benchmark("NVDLibraryBenchmark", "nvdlib"),
    "VirusTotal": Benchmark("VirusTotalBenchmark", "virustotal"),
    "ITType0": Benchmark("instruction_following_trial_v4_harder", "it_hard_0", _REMAPPED),
    "ITType1": Benchmark("instruction_following_trial_v3_hard_level1", "it_hard_1", _REMAPPED),
    "TicketTracking": Benchmark("Ticket-tracking-benchmark-data", "ticket_tracking"),
    _TMI: Benchmark("HallucinationTMIBenchmark", "", "Name every argument of your call."),
}
#: The tools of TMIHallucination, row by row.
_TMI_TOOLS = "HallucinationTMIBenchmark-20240829-json-tools"


def rows_of(dataset: str) -> Iterator[tuple[str, Row]]:
    """The rows of a dataset's split `train`, each with its place for messages.

    Raises:
        UsageError: there is no file.
        DataError: one is not readable.
    """
    where = f"the split 'train' of huggingface.co/datasets/Nexusflow/{dataset} ({_LICENCE})"
    for file in find_files(f"nexusbench/{dataset}", "train", where, instead=""):
        for number, row in enumerate(read_items(file), 1):
            yield f"{file}: row {number}", row


@dataclass(frozen=True, slots=True)
class Tools:
    """The functions of a benchmark: as the model sees them, and how calls bind."""

    shown: tuple[Mapping[str, Any], ...]
    signatures: Signatures


def tools_of(module: str) -> Tools:
    """The functions of nexusbench/tools/<module>.py that have a JSON document.

    Raises:
        UsageError: the file is missing.
        DataError: it holds no such function.
    """
    return _tools_in(data_path(f"nexusbench/tools/{module}.py", _WHERE))


@functools.cache
def _tools_in(path: Path) -> Tools:
    source = parsed(path, f"get {_WHERE} again")
    documents, defined = literals(source), functions(source)
    names = [name for name in defined if isinstance(documents.get(f"{name}_json"), dict)]
    try:
        signatures = {name: signature(defined[name]) for name in names}
    except UNREAD as error:
        raise DataError(f"'{path}': a default is no literal ({error}); get it again.") from None
    if not names:
        raise DataError(f"'{path}' has no function with a JSON document; get {_WHERE} again.")
    return Tools(tuple(documents[f"{name}_json"] for name in names), signatures)


def matching_samples(name: str) -> Iterator[Sample]:
    """The items of a benchmark that compares calls; raises as `rows_of` and `tools_of`."""
    own = BENCHMARKS[name]
    shown = tools_of(own.module).shown
    for number, (place, row) in enumerate(rows_of(own.dataset)):
        gold = text_of(row, "Output", place).replace("r = nvdlib.", "")
        asked = {"query": text_of(row, "Input", place), "told": own.told, "tools": shown}
        yield Sample(f"{name}/{number}", asked, {"benchmark": name, "call": gold})


def leaving_out_samples() -> Iterator[Sample]:
    """The items of TMIHallucination; raises as `rows_of`, and DataError for a row of another form."""
    own = BENCHMARKS[_TMI]
    rows, tools = list(rows_of(own.dataset)), list(rows_of(_TMI_TOOLS))
    if len(rows) != len(tools):
        raise DataError(
            f"Nexusflow/{own.dataset} has {len(rows)} rows and {_TMI_TOOLS} {len(tools)}; get both again."
        )
    for number, ((place, row), (beside, other)) in enumerate(zip(rows, tools, strict=True)):
        named = []
        for field in ("original_ground_truth", "modified_correct_ground_truth"):
            try:
                named.append(named_arguments(expression(text_of(row, field, place))))
            except NoCall:
                named.append(None)
        if named[0] is None or named[1] is None:
            raise DataError(
                f"{place}: a ground truth is no call with named arguments "
                f"({row['original_ground_truth'][:80]!r}, "
                f"{row['modified_correct_ground_truth'][:80]!r}); get it again."
            )
        shown = {
            "query": text_of(row, "user_query", place),
            "told": own.told,
            "tools": _documents(text_of(other, "json_tools", beside), beside),
        }
        avoid = sorted(map(str, named[0] - named[1]))
        call = row["modified_correct_ground_truth"]
        yield Sample(
            f"{_TMI}/{number}", shown, {"benchmark": _TMI, "call": call, "leave_out": avoid}
        )


def _documents(text: str, place: str) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: 'json_tools' is not JSON ({error}).") from None
    if not isinstance(found, list) or not all(isinstance(d, dict) and "name" in d for d in found):
        raise DataError(f"{place}: 'json_tools' is no list of documents with a name.")
    return found


def matched(sample: Sample, generation: Generation) -> Score:
    """1 where the first call is the wanted one."""
    signatures = tools_of(BENCHMARKS[sample.target["benchmark"]].module).signatures
    detail = {"benchmark": sample.target["benchmark"]}
    try:
        gold = written_call(sample.target["call"], signatures)
    except NoCall as error:
        return Score.unscored("unreadable_gold", said=str(error), **detail)
    try:
        if generation.calls:
            made = native_call(generation.calls[0], signatures)
        else:
            made = written_call(generation.text, signatures)
        right, reason = made.same(gold), "wrong"
    except NoCall:
        right, reason = False, "unparsed"
    return Score(float(right), None if right else _fault(generation, reason), detail=detail)


def left_out(sample: Sample, generation: Generation) -> Score:
    """1 where a call gives none of the arguments that the tool does not take."""
    named: set[Any] | None
    try:
        if generation.calls:
            named = set(native_arguments(generation.calls[0]))
        else:
            named = named_arguments(expression(generation.text))
    except NoCall:
        named = None
    avoid = set(sample.target["leave_out"])
    right = not avoid or (named is not None and not avoid & named)
    reason = None if right else _fault(generation, "unparsed" if named is None else "wrong")
    return Score(float(right), reason, detail={"benchmark": _TMI})


def _fault(generation: Generation, reason: str) -> str:
    if not generation.calls and not generation.text.strip():
        return "empty"
    return "truncated" if generation.truncated else reason


@task(
    "nexusbench",
    domain="tools",
    metrics=(Metric("correct"),),
    settings=GenerationSettings(max_tokens=1024),
    card=Card(
        measures="One call with exactly the wanted arguments, six benchmarks of NexusBench V2.",
        not_measures="Its agentic benchmarks; wording of the system message is ours, so no published "
        "figure compares.",
        source="github.com/nexusflowai/NexusBench and huggingface.co/Nexusflow",
        licence=_LICENCE,
        revision=COMMIT[:8],
        verified="unverified: data not seen",
    ),
)
class NexusBench:
    """The single-turn benchmarks; each weighs the same in `mean`."""

    def __init__(self, names: Sequence[str] = tuple(BENCHMARKS)) -> None:
        self.names = names

    @classmethod
    def variant(cls, text: str) -> Mapping[str, Any]:
        """What `nexusbench@TicketTracking` sets.

        Raises:
            UsageError: no such benchmark.
        """
        if text not in BENCHMARKS:
            known = ", ".join(BENCHMARKS)
            raise UsageError(f"NexusBench has no single-turn benchmark '{text}'; it has {known}.")
        return {"names": (text,)}

    def samples(self) -> Iterator[Sample]:
        for name in self.names:
            yield from leaving_out_samples() if name == _TMI else matching_samples(name)

    def prompt(self, sample: Sample) -> Prompt:
        told = [Message("system", sample.input["told"])] if sample.input["told"] else []
        return (*told, Message("user", sample.input["query"].strip()))

    def tools(self, sample: Sample) -> tuple[Mapping[str, Any], ...]:
        """The functions on offer."""
        return tuple({"type": "function", "function": shown} for shown in sample.input["tools"])

    def grade(self, sample: Sample, generation: Generation) -> Score:
        rule = left_out if sample.target["benchmark"] == _TMI else matched
        return rule(sample, generation)

    def reference(self, sample: Sample) -> str:
        """The wanted call."""
        return str(sample.target["call"])

    def aggregate(self, scores: Mapping[str, Sequence[Score]]) -> Mapping[str, float]:
        """The accuracy of each benchmark and, where all six are there, their mean."""
        values: defaultdict[str, list[float]] = defaultdict(list)
        for own in scores.values():
            values[own[0].detail["benchmark"]].append(fmean(s.value or 0.0 for s in own))
        found = {f"benchmark/{name}": fmean(own) for name, own in values.items()}
        return {**found, "mean": fmean(found.values())} if set(values) == set(BENCHMARKS) else found
