"""IFEval's 25 instructions: does a response follow one of them?

The verdicts are those of the reference checker (Zhou et al., 2023, arXiv:2311.07911; google-research
instruction_following_eval), bit for bit, quirks included. Where the reference's regular expression
takes quadratic time on a hostile response, an equivalent that takes linear time stands here instead.
Two departures, both where the reference is random or crashes: a `letter` that is no letter is counted
as the character it is, and JSON too deeply nested to parse is no JSON.

Not here: the prompts, strict and loose scoring and the task (ifeval.py), language identification
(ifeval_language.py), sentence and word splitting (ifeval_sentences.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..harness.errors import DataError, UnknownName
from .ifeval_language import language
from .ifeval_sentences import Splitter, capital_words, punkt

Kwargs: TypeAlias = Mapping[str, Any]


def follows(
    instruction_id: str, kwargs: Kwargs, response: str, *, splitter: Splitter | None = None
) -> bool:
    """Whether `response`, exactly as it is, follows one instruction. A blank response never does.

    Args:
        instruction_id: `group:kind`, one of the 25 of `INSTRUCTIONS`.
        kwargs: the instruction's arguments; null values count as absent.
        response: the model's answer without any thinking part.
        splitter: text to sentences; None means Punkt as trained for English.

    Raises:
        UnknownName: no such instruction.
        DataError: an argument is missing or unusable.
        UsageError: the instruction needs Punkt and its parameters are not on this machine.
    """
    if instruction_id not in INSTRUCTIONS:
        raise UnknownName.of("IFEval instruction", instruction_id, INSTRUCTIONS)
    if not response.strip():
        return False
    try:
        if instruction_id in PLAIN:
            return PLAIN[instruction_id](response)
        if instruction_id in BY_SENTENCE:
            return BY_SENTENCE[instruction_id](response, kwargs, splitter or punkt())
        return WITH_ARGUMENTS[instruction_id](response, kwargs)
    except (KeyError, TypeError, AttributeError, re.error) as error:
        raise DataError(
            f"IFEval instruction '{instruction_id}' cannot use the arguments {dict(kwargs)!r} "
            f"({type(error).__name__}: {error}); mend them."
        ) from error


def _holds(count: int, relation: str, threshold: int) -> bool:
    if relation == "at least":
        return count >= threshold
    if relation == "less than":
        return count < threshold
    raise KeyError(relation)


# Keywords are regular expressions, as in the reference, and match inside words.


def _existence(text: str, args: Kwargs) -> bool:
    return all(re.search(word, text, re.IGNORECASE) for word in args["keywords"])


def _frequency(text: str, args: Kwargs) -> bool:
    found = sum(1 for _ in re.finditer(args["keyword"].strip(), text, re.IGNORECASE))
    return _holds(found, args["relation"], args["frequency"])


def _forbidden(text: str, args: Kwargs) -> bool:
    return not any(
        re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in args["forbidden_words"]
    )


def _letters(text: str, args: Kwargs) -> bool:
    found = text.lower().count(args["letter"].strip().lower())
    return _holds(found, args["let_relation"], args["let_frequency"])


def _language(text: str, args: Kwargs) -> bool:
    return language(text) in (args["language"], None)


def _sentences(text: str, args: Kwargs, splitter: Splitter) -> bool:
    return _holds(len(splitter(text)), args["relation"], args["num_sentences"])


def _paragraphs(text: str, args: Kwargs) -> bool:
    """Paragraphs are divided by `***`; a blank one counts neither first nor last and fails inside."""
    pieces = [bool(piece.strip()) for piece in re.split(r"\s?\*\*\*\s?", text)]
    return all(pieces[1:-1]) and bool(sum(pieces) == args["num_paragraphs"])


def _words(text: str, args: Kwargs) -> bool:
    # Combining marks belong to their word, as in Hindi, which Python's own \w does not know.
    import regex  # type: ignore[import-untyped]

    found = sum(1 for _ in regex.finditer(r"\w+", text))
    return _holds(found, args["relation"], args["num_words"])


def _nth_paragraph(text: str, args: Kwargs) -> bool:
    """Here paragraphs are divided by two newlines, and a blank one shifts the count, not the index."""
    pieces = text.split("\n\n")
    filled = sum(1 for piece in pieces if piece.strip())
    nth = args["nth_paragraph"]
    if nth > filled or not (piece := pieces[nth - 1].strip()):
        return False
    word = piece.split()[0].lstrip("'").lstrip('"')
    first = re.split(r"""[.,?!'"]""", word, maxsplit=1)[0].lower()
    return bool(filled == args["num_paragraphs"] and first == args["first_word"].lower())


def _placeholders(text: str, args: Kwargs) -> bool:
    """Square brackets around anything or nothing on one line; the closest bracket closes."""
    return bool(sum(map(_brackets, text.split("\n"))) >= args["num_placeholders"])


def _brackets(line: str) -> int:
    count = end = 0
    while (start := line.find("[", end)) >= 0 and (close := line.find("]", start)) >= 0:
        count, end = count + 1, close + 1
    return count


def _postscript(text: str, args: Kwargs) -> bool:
    # The reference allows space before and any line after, which cannot change whether there is one.
    marker = args["postscript_marker"].strip()
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return bool(re.search(known.get(marker, marker.lower()), text.lower(), re.MULTILINE))


def _bullets(text: str, args: Kwargs) -> bool:
    lines = [line.lstrip() for line in text.split("\n")]
    dashes = sum(1 for line in lines if line.startswith("-"))
    return bool(_stars(lines) + dashes == args["num_bullets"])


def _stars(lines: list[str]) -> int:
    """Lines of `*` and one more character that is no `*`; a lone `*` takes its newline for it.

    A lone `*` thereby swallows the line after it, bullet or not; on the last line it is no bullet.
    """
    count, swallowed = 0, False
    for number, line in enumerate(lines, 1):
        if swallowed or not line.startswith("*"):
            swallowed = False
        elif line == "*":
            swallowed = number < len(lines)
            count += swallowed
        else:
            count += line[1] != "*"
    return count


def _constrained(text: str) -> bool:
    return any(f"My answer is {word}." in text for word in ("yes", "no", "maybe"))


def _highlights(text: str, args: Kwargs) -> bool:
    single = re.findall(r"\*([^\n*]*)\*", text)
    double = re.findall(r"\*\*([^\n*]*)\*\*", text)
    found = sum(1 for inside in (*single, *double) if inside.strip())
    return bool(found >= args["num_highlights"])


def _sections(text: str, args: Kwargs) -> bool:
    parts = re.split(rf"\s?{args['section_spliter'].strip()}\s?\d+\s?", text)
    return len(parts) - 1 >= int(args["num_sections"])


def _json(text: str) -> bool:
    text = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str) -> bool:
    return any(map(_titled, text.split("\n")))


def _titled(line: str) -> bool:
    """From the first `<<` to the last `>>` of a line, at least a character apart, not blank inside."""
    start, end = line.find("<<"), line.rfind(">>")
    inside = line[start : end + 2].lstrip("<").rstrip(">")
    return 0 <= start < end - 2 and bool(inside.strip())


def _two_responses(text: str) -> bool:
    pieces = [piece.strip() for piece in text.split("******")]
    filled = [piece for piece in pieces if piece]
    return all(pieces[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def _repeat(text: str, args: Kwargs) -> bool:
    return text.strip().lower().startswith(args["prompt_to_repeat"].strip().lower())


def _end(text: str, args: Kwargs) -> bool:
    return text.strip().strip('"').lower().endswith(args["end_phrase"].strip().lower())


def _quotation(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == '"' == text[-1]


def _capital(text: str) -> bool:
    return text.isupper() and language(text) in ("en", None)


def _lowercase(text: str) -> bool:
    return text.islower() and language(text) in ("en", None)


def _capital_words(text: str, args: Kwargs, splitter: Splitter) -> bool:
    found = capital_words(text, splitter)
    return _holds(found, args["capital_relation"], args["capital_frequency"])


def _no_comma(text: str) -> bool:
    return "," not in text


#: Instructions without arguments.
PLAIN: dict[str, Callable[[str], bool]] = {
    "detectable_format:constrained_response": _constrained,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "startend:quotation": _quotation,
    "change_case:english_capital": _capital,
    "change_case:english_lowercase": _lowercase,
    "punctuation:no_comma": _no_comma,
}
WITH_ARGUMENTS: dict[str, Callable[[str, Kwargs], bool]] = {
    "keywords:existence": _existence,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letters,
    "language:response_language": _language,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": _words,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "combination:repeat_prompt": _repeat,
    "startend:end_checker": _end,
}
#: Instructions whose verdict depends on the sentence splitter.
BY_SENTENCE: dict[str, Callable[[str, Kwargs, Splitter], bool]] = {
    "length_constraints:number_sentences": _sentences,
    "change_case:capital_word_frequency": _capital_words,
}
INSTRUCTIONS = (*PLAIN, *WITH_ARGUMENTS, *BY_SENTENCE)
