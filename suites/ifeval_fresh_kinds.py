"""The 25 kinds of IFEval as a generator needs them: arguments, our own wording, and how to comply.

Each kind draws its arguments, says in words what it wants, and changes a draft so that the draft
complies. The draft of all kinds of a prompt is its answer that scores 1, so what is asked together can
be done together. Not here: which kinds go together and how prompts are made (ifeval_fresh.py), what
the kinds mean (ifeval_rules.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .ifeval_fresh_words import ENDINGS, FILLERS, LANGUAGES, LETTERS, WORDS

Arguments = Mapping[str, Any]


@dataclass(slots=True)
class Draft:
    """An answer under construction."""

    request: str
    sentences: list[str]
    head: list[str] = field(default_factory=list)
    """Lines before the body."""
    tail: list[str] = field(default_factory=list)
    """Lines after the body."""
    layout: Callable[[list[str]], str] = " ".join
    """Makes the body of the sentences."""
    coats: list[Callable[[str], str]] = field(default_factory=list)
    """Applied to the whole text, in order."""

    def text(self) -> str:
        """The finished answer."""
        whole = "\n".join([*self.head, self.layout(self.sentences), *self.tail])
        for coat in self.coats:
            whole = coat(whole)
        return whole


def _no_arguments(_: Random, __: str) -> Arguments:
    return {}


def _as_they_are(_: Arguments) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of instruction."""

    wordings: tuple[str, ...]
    """Templates over the arguments and what `words` adds."""
    comply: Callable[[Draft, Arguments], None]
    draw: Callable[[Random, str], Arguments] = _no_arguments
    """The arguments, given the request."""
    words: Callable[[Arguments], Mapping[str, str]] = _as_they_are

    def wording(self, rng: Random, arguments: Arguments) -> str:
        """What a prompt says."""
        return rng.choice(self.wordings).format(**{**arguments, **self.words(arguments)})


def _relation(rng: Random, low: tuple[int, ...], high: tuple[int, ...]) -> tuple[str, int]:
    """`at least` one of `low`, or `less than` one of `high`."""
    return rng.choice([("at least", rng.choice(low)), ("less than", rng.choice(high))])


def _counted(number: str, relation: str, low: tuple[int, ...], high: tuple[int, ...]) -> Any:
    """A draw of a number and a relation under the names of the checker's arguments."""

    def draw(rng: Random, _: str) -> Arguments:
        chosen, threshold = _relation(rng, low, high)
        return {relation: chosen, number: threshold}

    return draw


def _quoted(words: list[str]) -> str:
    return " and ".join(f'"{word}"' for word in words)


def _repeated(draft: Draft, word: str, times: int) -> None:
    draft.sentences.append(f"Think of {' and '.join([word] * times)}.")


def _padded(draft: Draft, enough: Callable[[], bool]) -> None:
    while not enough():
        draft.sentences.append(FILLERS[len(draft.sentences) % len(FILLERS)])


def _draw_words(key: str) -> Callable[[Random, str], Arguments]:
    return lambda rng, _: {key: rng.sample(WORDS, 2)}


def _draw_frequency(rng: Random, _: str) -> Arguments:
    relation, frequency = _relation(rng, (2, 3, 4, 5), (2, 3))
    return {"keyword": rng.choice(WORDS), "relation": relation, "frequency": frequency}


def _draw_letters(rng: Random, _: str) -> Arguments:
    relation, frequency = _relation(rng, (4, 6, 8, 10), (40, 50))
    letter = rng.choice(tuple(LETTERS))
    return {"letter": letter, "let_relation": relation, "let_frequency": frequency}


def _comply_frequency(draft: Draft, asked: Arguments) -> None:
    if asked["relation"] == "at least":
        _repeated(draft, asked["keyword"], asked["frequency"])


def _comply_letters(draft: Draft, asked: Arguments) -> None:
    if asked["let_relation"] == "at least":
        _repeated(draft, LETTERS[asked["letter"]], asked["let_frequency"])


def _comply_capitals(draft: Draft, asked: Arguments) -> None:
    if asked["capital_relation"] == "at least":
        _repeated(draft, "CARE", asked["capital_frequency"])


def _comply_sentences(draft: Draft, asked: Arguments) -> None:
    if asked["relation"] == "at least":
        _padded(draft, lambda: len(draft.sentences) >= asked["num_sentences"])


def _comply_words(draft: Draft, asked: Arguments) -> None:
    if asked["relation"] == "at least":
        _padded(draft, lambda: len(" ".join(draft.sentences).split()) >= asked["num_words"])


def _pieces(sentences: list[str], n: int) -> list[str]:
    """The sentences in `n` pieces of at least one sentence, fillers where there are too few."""
    filled = [*sentences, *(FILLERS[i % len(FILLERS)] for i in range(n - len(sentences)))]
    return [*filled[: n - 1], " ".join(filled[n - 1 :])]


def _comply_paragraphs(draft: Draft, asked: Arguments) -> None:
    draft.layout = lambda own: "\n***\n".join(_pieces(own, asked["num_paragraphs"]))


def _comply_nth(draft: Draft, asked: Arguments) -> None:
    def layout(own: list[str]) -> str:
        pieces = _pieces(own, asked["num_paragraphs"])
        nth = asked["nth_paragraph"] - 1
        pieces[nth] = f"{asked['first_word'].capitalize()} matters here. {pieces[nth]}"
        return "\n\n".join(pieces)

    draft.layout = layout


def _draw_nth(rng: Random, _: str) -> Arguments:
    paragraphs = rng.randint(3, 5)
    nth = rng.randint(2, paragraphs)  # the first may belong to a title or a repeated request
    word = rng.choice(WORDS)
    return {"num_paragraphs": paragraphs, "nth_paragraph": nth, "first_word": word}


def _comply_bullets(draft: Draft, asked: Arguments) -> None:
    points = [f"- point {number + 1}" for number in range(asked["num_bullets"])]
    draft.tail[:0] = points


def _comply_sections(draft: Draft, asked: Arguments) -> None:
    def layout(own: list[str]) -> str:
        pieces = enumerate(_pieces(own, asked["num_sections"]), 1)
        return "\n".join(f"{asked['section_spliter']} {n}\n{piece}" for n, piece in pieces)

    draft.layout = layout


def _comply_two(draft: Draft, _: Arguments) -> None:
    draft.layout = lambda own: "\n******\n".join(_pieces(own, 2))


def _comply_language(draft: Draft, asked: Arguments) -> None:
    draft.sentences[:] = [LANGUAGES[asked["language"]][1]]


def _comply_constrained(draft: Draft, _: Arguments) -> None:
    draft.sentences[:] = ["My answer is maybe."]


def _number(key: str, *numbers: int) -> Callable[[Random, str], Arguments]:
    return lambda rng, _: {key: rng.choice(numbers)}


def _pick(key: str, *values: str) -> Callable[[Random, str], Arguments]:
    return lambda rng, _: {key: rng.choice(values)}


def _say(template: str) -> Callable[[Draft, Arguments], None]:
    """Comply by one more sentence."""
    return lambda draft, asked: draft.sentences.append(template.format(**asked))


def _mark(template: str, key: str) -> Callable[[Draft, Arguments], None]:
    """Comply by a sentence with so many marked words."""

    def comply(draft: Draft, asked: Arguments) -> None:
        marked = [template.format(n) for n in range(asked[key])]
        draft.sentences.append(f"Mind {' and '.join(marked)}.")

    return comply


def _coat(change: Callable[[str], str]) -> Callable[[Draft, Arguments], None]:
    return lambda draft, _: draft.coats.append(change)


def _nothing(draft: Draft, asked: Arguments) -> None:
    """The draft complies already."""


KINDS: dict[str, Kind] = {
    "keywords:existence": Kind(
        ("Make use of the words {both}.", "The words {both} must both appear."),
        lambda draft, asked: draft.sentences.append(
            f"Here we need {' and '.join(asked['keywords'])}."
        ),
        _draw_words("keywords"),
        lambda asked: {"both": _quoted(asked["keywords"])},
    ),
    "keywords:frequency": Kind(
        (
            'Use the word "{keyword}" {relation} {frequency} times.',
            'Your text should have "{keyword}" in it {relation} {frequency} times.',
        ),
        _comply_frequency,
        _draw_frequency,
    ),
    "keywords:forbidden_words": Kind(
        ("Stay clear of the words {both}.", "Neither of the words {both} may occur."),
        _nothing,
        _draw_words("forbidden_words"),
        lambda asked: {"both": _quoted(asked["forbidden_words"])},
    ),
    "keywords:letter_frequency": Kind(
        (
            'The letter "{letter}" should occur {let_relation} {let_frequency} times.',
            'Have the letter "{letter}" in your text {let_relation} {let_frequency} times.',
        ),
        _comply_letters,
        _draw_letters,
    ),
    "language:response_language": Kind(
        ("Reply in {tongue} and in no other language.", "The whole text has to be in {tongue}."),
        _comply_language,
        _pick("language", *LANGUAGES),
        lambda asked: {"tongue": LANGUAGES[asked["language"]][0]},
    ),
    "length_constraints:number_sentences": Kind(
        (
            "Write {relation} {num_sentences} sentences.",
            "Use {relation} {num_sentences} sentences.",
        ),
        _comply_sentences,
        _counted("num_sentences", "relation", (5, 6, 8, 10), (8, 10, 12)),
    ),
    "length_constraints:number_paragraphs": Kind(
        (
            "Split the text into exactly {num_paragraphs} paragraphs with a line of *** between them.",
            "I want {num_paragraphs} paragraphs; put the divider *** between each two of them.",
        ),
        _comply_paragraphs,
        _number("num_paragraphs", 2, 3, 4, 5),
    ),
    "length_constraints:number_words": Kind(
        (
            "The text should have {relation} {num_words} words.",
            "Write {relation} {num_words} words.",
        ),
        _comply_words,
        _counted("num_words", "relation", (60, 100, 150), (100, 150, 200)),
    ),
    "length_constraints:nth_paragraph_first_word": Kind(
        (
            'Part {num_paragraphs} paragraphs by blank lines; number {nth_paragraph} starts "{first_word}".',
            'Let "{first_word}" open paragraph {nth_paragraph} of {num_paragraphs}, with blank lines between.',
        ),
        _comply_nth,
        _draw_nth,
    ),
    "detectable_content:number_placeholders": Kind(
        (
            "Leave at least {num_placeholders} gaps to fill in, each in square brackets like [date].",
            "Put in no fewer than {num_placeholders} placeholders in square brackets, such as [city].",
        ),
        _mark("[name {}]", "num_placeholders"),
        _number("num_placeholders", 2, 3, 4, 5),
    ),
    "detectable_content:postscript": Kind(
        (
            'Add a postscript that begins with "{postscript_marker}".',
            'Put a note below that starts with "{postscript_marker}".',
        ),
        lambda draft, asked: draft.tail.append(f"{asked['postscript_marker']} It is worth it."),
        _pick("postscript_marker", "P.S.", "P.P.S"),
    ),
    "detectable_format:number_bullet_lists": Kind(
        (
            'Give exactly {num_bullets} bullet points, each on its own line after "- ".',
            'Have exactly {num_bullets} bullets in it, written as "* this".',
        ),
        _comply_bullets,
        _number("num_bullets", 2, 3, 4, 5, 6),
    ),
    "detectable_format:constrained_response": Kind(
        (
            'Choose one of "My answer is yes.", "My answer is no." and "My answer is maybe.".',
            'Say either "My answer is yes." or "My answer is no." or "My answer is maybe.".',
        ),
        _comply_constrained,
    ),
    "detectable_format:number_highlighted_sections": Kind(
        (
            "Highlight at least {num_highlights} passages by asterisks, as in *passage*.",
            "Set no fewer than {num_highlights} parts between asterisks, *like this*.",
        ),
        _mark("*part {}*", "num_highlights"),
        _number("num_highlights", 1, 2, 3, 4),
    ),
    "detectable_format:multiple_sections": Kind(
        (
            "Arrange it in {num_sections} or more parts headed {section_spliter} 1 and so on.",
            "Number at least {num_sections} parts as {section_spliter} 1, {section_spliter} 2, ...",
        ),
        _comply_sections,
        lambda rng, _: {
            "section_spliter": rng.choice(("SECTION", "Part", "Chapter", "Day")),
            "num_sections": rng.choice((2, 3, 4)),
        },
    ),
    "detectable_format:json_format": Kind(
        ("Answer with one JSON value and nothing else.", "Put everything into valid JSON."),
        _coat(lambda text: f"```json\n{json.dumps({'text': text})}\n```"),
    ),
    "detectable_format:title": Kind(
        (
            "Give it a title in double angle brackets, like <<a title>>.",
            "Begin under a heading set as <<heading>>.",
        ),
        lambda draft, _: draft.head.append("<<Some thoughts>>"),
    ),
    "combination:two_responses": Kind(
        (
            "Give two different answers and divide them by six asterisks: ******",
            "I would like two versions that differ, with ****** between them.",
        ),
        _comply_two,
    ),
    "combination:repeat_prompt": Kind(
        (
            "Before you answer, repeat the first sentence of this text word for word.",
            "Copy the first sentence of this text without a change, then answer.",
        ),
        lambda draft, asked: draft.head.insert(0, asked["prompt_to_repeat"]),
        lambda _, request: {"prompt_to_repeat": request},
    ),
    "startend:end_checker": Kind(
        (
            'End with exactly these words: "{end_phrase}"',
            'Let "{end_phrase}" be the very last words.',
        ),
        lambda draft, asked: draft.tail.append(asked["end_phrase"]),
        _pick("end_phrase", *ENDINGS),
    ),
    "startend:quotation": Kind(
        (
            "Enclose the entire answer in double quotation marks.",
            "The first and the last character must be a double quotation mark.",
        ),
        _coat(lambda text: f'"{text}"'),
    ),
    "change_case:english_capital": Kind(
        (
            "Write in English, in capital letters only.",
            "Use English and capital letters throughout.",
        ),
        _coat(str.upper),
    ),
    "change_case:english_lowercase": Kind(
        ("Write in English without any capital letter.", "Use English and lowercase letters only."),
        _coat(str.lower),
    ),
    "change_case:capital_word_frequency": Kind(
        (
            "Words in all capitals should occur {capital_relation} {capital_frequency} times.",
            "Have {capital_relation} {capital_frequency} words in capital letters.",
        ),
        _comply_capitals,
        _counted("capital_frequency", "capital_relation", (2, 3, 5, 8), (5, 8, 10)),
    ),
    "punctuation:no_comma": Kind(
        ("Do without commas.", "There must not be a single comma in it."),
        _nothing,
    ),
}
