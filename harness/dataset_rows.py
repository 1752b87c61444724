"""Rows of training data: brought into one form for each shape, and everything wrong with them said at once.

A row is accepted in the columns of its shape or in those that hubs use for the same thing (TRL's
standard and conversational formats, ShareGPT's `conversations`). What leaves here is one form:

    messages    {"messages": [{"role", "content"}, ...]}, the last turn an assistant's
    preference  {"prompt": [turns], "chosen": [answer], "rejected": [answer]}, an answer one turn
    reward      {"prompt": [turns], "task": text, ...}
    prompt      {"prompt": [turns]}, what is asked in any of the above
    text        {"text": text}

Rows are hostile input: every text is checked for what no tokenizer should see. Not here: where rows
come from (datasets.py), and which tokens are trained on (trainers/).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from .errors import DataError
from .jsonl import object_of

Row: TypeAlias = Mapping[str, Any]
Shape: TypeAlias = Literal["messages", "preference", "reward", "text", "prompt"]
Turn: TypeAlias = dict[str, Any]

SHAPES: tuple[Shape, ...] = get_args(Shape)
ROLES = ("system", "user", "assistant", "tool")
#: Columns that are accepted for each shape, the first of them being ours.
COLUMNS: Mapping[Shape, tuple[tuple[str, ...], ...]] = {
    "messages": (("messages",), ("prompt", "completion"), ("conversations",)),
    "preference": (("prompt", "chosen", "rejected"), ("chosen", "rejected")),
    "reward": (("prompt", "task"),),
    "text": (("text",),),
    "prompt": (("prompt",), ("messages",)),
}
#: Bad rows that are named; the rest are counted.
MOST_NAMED = 10

_SHAREGPT = {"human": "user", "gpt": "assistant", "system": "system", "tool": "tool"}
#: What no text holds on purpose: C0 and C1 controls but tab and line ends, and halves of a code point.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class BadRow(ValueError):
    """What is wrong with one row, and what to do: the end of a sentence that begins with its place."""


def check_rows(
    placed: Iterable[tuple[str, Row | bytes]],
    shape: Shape,
    *,
    tokens: Callable[[Row], int] | None = None,
    longest: int | None = None,
) -> list[Row]:
    """Rows in the form of `shape`.

    Args:
        placed: rows or lines of JSONL, each with the place that messages name (`file:line`).
        tokens: counts the tokens of a row in that form; needed for `longest` to mean anything.
        longest: most tokens a row may have.

    Raises:
        DataError: names the first bad rows with what is wrong in each, and counts the rest.
    """
    rows: list[Row] = []
    bad: list[str] = []
    for place, given in placed:
        try:
            seen = object_of(place, given) if isinstance(given, bytes) else given
            row = _FORMS[shape](_columns(seen, shape))
            if tokens is not None and longest is not None:
                _refuse_long(tokens(row), longest)
            rows.append(row)
        except BadRow as error:
            bad.append(f"{place}: {error}.")
        except DataError as error:
            bad.append(str(error))
    if bad:
        raise DataError(_listed(bad, len(bad) + len(rows)))
    return rows


def shape_of(row: Row) -> Shape | None:
    """The shape whose columns a row has: the one that explains most columns, in the order of SHAPES."""
    found = [(len(form), shape) for shape in SHAPES for form in COLUMNS[shape] if _has(row, form)]
    return max(found, key=lambda match: match[0])[1] if found else None


def _has(row: Row, form: Sequence[str]) -> bool:
    return all(row.get(column) is not None for column in form)


def texts_of(row: Row) -> list[str]:
    """Every text a model could learn from a row in one of the four forms."""
    turns = [t for k in ("messages", "prompt", "chosen", "rejected") for t in row.get(k, ())]
    return [*(turn["content"] for turn in turns), *([row["text"]] if "text" in row else [])]


def _listed(bad: Sequence[str], total: int) -> str:
    if len(bad) == 1:
        return bad[0]
    shown = "\n".join(bad[:MOST_NAMED])
    rest = len(bad) - MOST_NAMED
    more = f"\n... and {rest} more." if rest > 0 else ""
    return f"{len(bad)} of {total} rows cannot be trained on:\n{shown}{more}"


def _refuse_long(count: int, longest: int) -> None:
    if count > longest:
        raise BadRow(f"{count} tokens are more than {longest}; shorten the row or leave it out")


def _columns(row: Any, shape: Shape) -> Row:
    """The row, if it has the columns of one of the shape's forms."""
    if not isinstance(row, Mapping):
        raise BadRow(f"expected an object with columns, got {_shown(row)}")
    forms = COLUMNS[shape]
    if any(_has(row, form) for form in forms):
        return row
    lacks = next(c for c in forms[0] if row.get(c) is None)
    accepted = " or ".join(" + ".join(form) for form in forms)
    raise BadRow(
        f"lacks '{lacks}', and {shape} data has the columns {accepted}; it has "
        f"{', '.join(sorted(map(str, row))) or 'none'}"
    )


# -- the four forms --------------------------------------------------------------------------------


def _messages(row: Row) -> Row:
    if row.get("messages") is not None:
        turns = _chat(row["messages"], "messages")
    elif row.get("conversations") is not None:
        turns = _chat(_from_sharegpt(row["conversations"]), "conversations")
    else:
        if row.get("label") is False:  # KTO's unpaired format: such a completion is what not to say
            raise BadRow("its 'label' is false, so its completion is a bad answer; leave it out")
        question = _question(row["prompt"])
        turns = [*question, *_said(row["completion"], question, "completion")]
    _check_order(turns)
    if turns[-1]["role"] != "assistant":
        raise BadRow(
            f"the last turn is the {turns[-1]['role']}'s, so there is no answer to learn; end with "
            "an assistant turn"
        )
    _check_answers(turns)
    kept = {k: row[k] for k in ("tools",) if row.get(k)}
    return {"messages": turns, **kept}


def _preference(row: Row) -> Row:
    chosen, rejected = row["chosen"], row["rejected"]
    if row.get("prompt") is None:
        question = _common_start(chosen, rejected)
    else:
        question = _question(row["prompt"])
    _check_question(question)
    answers = {}
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        answers[name] = _one_answer(answer, question, name)
        _differs_from_prompt(answers[name][0]["content"], question, f"'{name}'")
    first, second = (turns[0]["content"].strip() for turns in answers.values())
    if first == second:
        raise BadRow("'chosen' and 'rejected' are equal, so nothing is preferred; remove the row")
    return {"prompt": question, **answers}


def _reward(row: Row) -> Row:
    question = _question(row["prompt"])
    _check_question(question)
    return {**row, "prompt": question, "task": _text(row["task"], "task")}


def _prompt(row: Row) -> Row:
    if row.get("prompt") is not None:
        question = _question(row["prompt"])
    else:
        turns = _chat(row["messages"], "messages")
        question = turns[:-1] if turns[-1]["role"] == "assistant" else turns
    _check_question(question)
    return {"prompt": question}


def _plain(row: Row) -> Row:
    return {"text": _text(row["text"], "text")}


_FORMS: Mapping[Shape, Callable[[Row], Row]] = {
    "messages": _messages,
    "preference": _preference,
    "reward": _reward,
    "text": _plain,
    "prompt": _prompt,
}

# -- parts -----------------------------------------------------------------------------------------


def _chat(value: Any, column: str) -> list[Turn]:
    """Turns with known roles and clean texts."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise BadRow(f"'{column}' must be a list of turns, got {_shown(value)}")
    if not value:
        raise BadRow(f"'{column}' is empty; give it at least a question and an answer")
    return [_turn(turn, f"turn {n}") for n, turn in enumerate(value, 1)]


def _turn(turn: Any, where: str) -> Turn:
    if not isinstance(turn, Mapping):
        raise BadRow(f"{where} must be {{role, content}}, got {_shown(turn)}")
    role, calls = turn.get("role"), turn.get("tool_calls")
    if role not in ROLES:
        raise BadRow(f"{where} has the role {_shown(role)}; known are {', '.join(ROLES)}")
    if role == "assistant" and calls:  # a call needs no words beside it
        content = turn.get("content") or ""
        return {"role": role, "content": _clean(content, where), "tool_calls": calls}
    content = _text(turn.get("content"), f"the content of {where} ({role})")
    named = {k: turn[k] for k in ("tool_call_id", "name") if turn.get(k)}
    return {"role": role, "content": content, **named}


def _from_sharegpt(value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [
        {"role": _SHAREGPT.get(str(t["from"]), t["from"]), "content": t.get("value")}
        if isinstance(t, Mapping) and "from" in t
        else t
        for t in value
    ]


def _question(value: Any) -> list[Turn]:
    """A prompt as turns; a text is one turn of the user."""
    if isinstance(value, str):
        return [{"role": "user", "content": _text(value, "prompt")}]
    return _chat(value, "prompt")


def _said(value: Any, question: Sequence[Turn], column: str) -> list[Turn]:
    """What follows the prompt: a text is one answer; turns may repeat the prompt before it."""
    if isinstance(value, str):
        return [{"role": "assistant", "content": _text(value, column)}]
    turns = _chat(value, column)
    return turns[len(question) :] if turns[: len(question)] == list(question) else turns


def _one_answer(value: Any, question: Sequence[Turn], column: str) -> list[Turn]:
    turns = _said(value, question, column)
    if [t["role"] for t in turns] != ["assistant"] or "tool_calls" in turns[0]:
        roles = ", ".join(t["role"] for t in turns) or "nothing"
        raise BadRow(f"'{column}' must add one assistant turn of text to the prompt, got {roles}")
    return turns


def _common_start(chosen: Any, rejected: Any) -> list[Turn]:
    """The prompt of two chats that differ in their last turn."""
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise BadRow("'chosen' and 'rejected' are texts without a 'prompt'; add the prompt")
    first, second = _chat(chosen, "chosen"), _chat(rejected, "rejected")
    if first[:-1] != second[:-1]:
        raise BadRow("'chosen' and 'rejected' part before their last turn; add a 'prompt'")
    return first[:-1]


def _check_order(turns: Sequence[Turn]) -> None:
    """Roles in an order that chat templates accept."""
    before = None
    for number, turn in enumerate(turns, 1):
        role = turn["role"]
        if role == "system" and number > 1:
            raise BadRow(f"turn {number} is a system turn; only the first turn can be one")
        if role == "assistant" and before in (None, "system"):
            raise BadRow(f"turn {number} answers, but nobody has asked; begin with a user turn")
        if role == before and role in ("assistant", "user"):
            raise BadRow(
                f"turns {number - 1} and {number} are both the {role}'s; join them into one"
            )
        before = role


def _check_question(turns: Sequence[Turn]) -> None:
    _check_order(turns)
    if not turns or turns[-1]["role"] not in ("user", "tool"):
        raise BadRow("the prompt does not end with a user turn; put the question last")


def _check_answers(turns: Sequence[Turn]) -> None:
    for index, turn in enumerate(turns):
        if turn["role"] == "assistant" and "tool_calls" not in turn:
            _differs_from_prompt(turn["content"], turns[:index], f"the answer in turn {index + 1}")


def _differs_from_prompt(answer: str, before: Sequence[Turn], what: str) -> None:
    asked = before[-1]["content"] if before else ""
    if answer.strip() == asked.strip():
        raise BadRow(f"{what} repeats its prompt word for word; remove the row")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadRow(f"{what} must be text, got {_shown(value)}")
    if not value.strip():
        raise BadRow(f"{what} is empty; fill it or remove the row")
    return _clean(value, what)


def _clean(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadRow(f"{what} must be text, got {_shown(value)}")
    found = _FORBIDDEN.search(value)
    if found:
        kind = "half of a surrogate pair" if found[0] >= "\ud800" else "control character"
        raise BadRow(
            f"{what} holds a {kind} (U+{ord(found[0]):04X}) at character {found.start()}; remove it"
        )
    return value


def _shown(value: Any) -> str:
    text = "nothing" if value is None else ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
