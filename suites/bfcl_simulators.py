"""BFCL's simulated APIs: a file system, a trading bot, a car and five more, and what calls do to them.

The simulators are the official ones, from the package bfcl-eval: what scores a conversation is their
state and their exact answers, 130 methods with seeded random numbers and long filler texts, and a second
writing of them would only add differences. The package is installed without its dependencies, which do
not fit beside this one's; the eight modules used need none but mpmath, which SymPy brings.

A model's call is parsed, never evaluated: the name of a public method, literal arguments, and calls of
such methods as arguments. The reference runs `eval` on it, so a built-in function works there and is an
unknown name here, and it rewrites method names inside of texts as well. Not here: time limits
(bfcl_worker.py; a simulator can hang), what a conversation asks (bfcl_multi_turn.py).
"""

from __future__ import annotations

import ast
import copy
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..harness.errors import UsageError
from .bfcl_prompts import INSTALL
from .function_calls import RIGHT, Finding

#: The version whose simulators gave the recorded verdicts.
VERSION = "2026.3.23"
#: Module of each class below bfcl_eval's folder of simulators; its documents have the same name.
MODULES: Mapping[str, str] = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
    "MemoryAPI_kv": "memory_kv",
    "MemoryAPI_rec_sum": "memory_rec_sum",
}
#: Classes that keep a memory from one conversation to the next, and what they keep it in.
MEMORIES: Mapping[str, tuple[str, ...]] = {
    "MemoryAPI_kv": ("core_memory", "archival_memory"),
    "MemoryAPI_rec_sum": ("memory",),
}
_PACKAGE = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
_STATELESS = ("MathAPI",)
_REFUSED = ("kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run")
#: Longest call, in characters, and how deep calls may stand in arguments.
LONGEST, DEEPEST = 100_000, 5


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a conversation begins."""

    classes: tuple[str, ...]
    config: Mapping[str, Any]
    """Initial state by class."""
    long_context: bool = False
    """Whether the simulators add filler data."""


def need_simulators() -> None:
    """Make sure that the simulators are there.

    Raises:
        UsageError: bfcl-eval is not installed, or another version is.
    """
    try:
        found = importlib.metadata.version("bfcl-eval")
    except importlib.metadata.PackageNotFoundError:
        raise UsageError(f"BFCL's multi-turn categories need bfcl-eval; {INSTALL}.") from None
    if found != VERSION:
        raise UsageError(
            f"BFCL's simulators were checked at bfcl-eval {VERSION}, installed is {found}; {INSTALL}."
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """What a model has kept."""

    kept: Mapping[str, Any]
    shown: str
    """The part that is shown to the model at the beginning of a conversation."""


def need_memories() -> None:
    """Make sure that the simulated memories are there.

    Raises:
        UsageError: bfcl-eval is not installed, or another version is, or what its memories import.
    """
    need_simulators()
    missing = [
        name for name in ("overrides", "rank_bm25") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"BFCL's memories need {' and '.join(missing)}; run `pip install overrides rank-bm25`."
        )


@functools.cache
def _module(name: str) -> ModuleType:
    """A module of simulators; bfcl-eval makes folders when some are imported, which are not kept."""
    before = os.environ.get("BFCL_PROJECT_ROOT")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BFCL_PROJECT_ROOT"] = folder
        try:
            return importlib.import_module(f"{_PACKAGE}.{name}")
        finally:
            del os.environ["BFCL_PROJECT_ROOT"]
            if before is not None:
                os.environ["BFCL_PROJECT_ROOT"] = before


class World:
    """The instances of one conversation."""

    def __init__(self, scene: Scene) -> None:
        self.instances: dict[str, Any] = {}
        self.methods: dict[str, Callable[..., Any]] = {}
        for name in scene.classes:
            instance = getattr(_module(MODULES[name]), name)()
            config = copy.deepcopy(scene.config.get(name, {}))
            if name in MEMORIES:
                vars(instance).update(config)
            elif name not in _STATELESS:
                instance._load_scenario(config, long_context=scene.long_context)
            self.instances[name] = instance
            for method, bound in inspect.getmembers(instance, predicate=inspect.ismethod):
                if not method.startswith("_"):
                    self.methods[method] = bound

    def memory(self) -> Memory:
        """What the one memory of a conversation holds now."""
        ((name, instance),) = self.instances.items()
        kept = {attribute: getattr(instance, attribute) for attribute in MEMORIES[name]}
        return Memory(kept, instance._dump_core_memory_to_context())

    def run(self, calls: Sequence[str]) -> list[str]:
        """What each call answers; a call that fails answers with its error, as in the reference."""
        return [self._answer(call) for call in calls]

    def _answer(self, call: str) -> str:
        try:
            return _told(self._called(_parsed(call), 0))
        except Exception as error:  # whatever a simulator raises is its answer
            return f"Error during execution: {error}"

    def _called(self, node: ast.expr, depth: int) -> Any:
        """The result of a call of a public method.

        Raises:
            Exception: anything the method raises, or the expression is no such call.
        """
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            raise ValueError("only calls of the listed functions are possible")
        name = node.func.id
        if name in _REFUSED:
            raise ValueError(f"Function call {name} is not allowed.")
        if name not in self.methods:
            raise NameError(f"name '{name}' is not defined")
        if depth > DEEPEST:
            raise ValueError(f"calls stand in each other more than {DEEPEST} deep")
        given = [self._argument(argument, depth) for argument in node.args]
        named = {k.arg: self._argument(k.value, depth) for k in node.keywords if k.arg is not None}
        if len(named) < len(node.keywords):
            raise ValueError("an argument is missing its name, or two have the same")
        return self.methods[name](*given, **named)

    def _argument(self, node: ast.expr, depth: int) -> Any:
        if isinstance(node, ast.Call):
            return self._called(node, depth + 1)
        if isinstance(node, ast.Name):
            raise NameError(f"name '{node.id}' is not defined")
        try:
            return ast.literal_eval(node)
        except ValueError:  # whose text names an address in memory
            raise ValueError("an argument is no literal") from None


def _told(result: Any) -> str:
    """A result as the model is told it.

    Raises:
        ValueError: it has a number of too many digits to be written.
    """
    if isinstance(result, str):
        return result
    if type(result) is dict:
        try:
            return json.dumps(result)
        except (TypeError, ValueError, RecursionError):
            pass  # the reference writes it as Python then
    return str(result)


def _parsed(call: str) -> ast.expr:
    if len(call) > LONGEST:
        raise ValueError(f"the call has {len(call)} characters, at most {LONGEST} are read")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a stray backslash in a model's text is no news
        return ast.parse(call, "<string>", mode="eval").body


def check(
    scene: Scene, turns: Sequence[Sequence[Sequence[str]]], gold: Sequence[Sequence[str]]
) -> Finding:
    """Whether what a model called did what the gold calls do, turn by turn.

    After each turn that has gold calls, the public attributes of every instance must be equal, and the
    answers to the turn's gold calls must be among all the model's answers so far. Turns without gold
    calls are played and not judged.

    Args:
        turns: per turn its steps, per step its calls.
        gold: per turn its calls.
    """
    if len(turns) != len(gold):
        return Finding("multi_turn:force_terminated")
    model, reference = World(scene), World(scene)
    said: list[str] = []
    for steps, wanted in zip(turns, gold, strict=True):
        for calls in steps:
            said.extend(model.run(calls))
        answers = reference.run(wanted)
        if not wanted:
            continue
        if not any(steps):
            return Finding("multi_turn:empty_turn_model_response")
        if not all(_same(model.instances[n], other) for n, other in reference.instances.items()):
            return Finding("multi_turn:instance_state_mismatch")
        if not _contains(said, answers):
            return Finding("multi_turn:execution_response_mismatch")
    return RIGHT


def _same(one: Any, other: Any) -> bool:
    """Whether two instances of a class have equal public attributes."""
    return all(getattr(one, name) == value for name, value in vars(other).items() if name[0] != "_")


def _contains(said: Sequence[str], answers: Sequence[str]) -> bool:
    """Whether every answer is among what was said, as often as it occurs."""
    left = list(said)
    for answer in answers:
        if answer not in left:
            return False
        left.remove(answer)
    return True
