"""Three small domains for a live gate: a file a user could have written."""

from __future__ import annotations

from waterbed import Generation, GenerationSettings, Sample, Score, task

SHORT = GenerationSettings(max_tokens=8)


def _samples(word: str) -> list[Sample]:
    return [Sample(str(n), f"{word} {n}", f"{word} {n}".upper()) for n in range(300)]


class _Echo:
    """Say it louder."""

    word = ""

    def samples(self) -> list[Sample]:
        return _samples(self.word)

    def prompt(self, sample: Sample) -> str:
        return str(sample.input)

    def grade(self, sample: Sample, generation: Generation) -> Score:
        return Score(float(generation.text == sample.target))


@task("live/math", domain="math", style="completion", settings=SHORT)
class Math(_Echo):
    """Sums, said louder."""

    word = "sum"


@task("live/code", domain="code", style="completion", settings=SHORT)
class Code(_Echo):
    """Programs, said louder."""

    word = "program"


@task("live/tools", domain="tools", style="completion", settings=SHORT)
class Tools(_Echo):
    """Calls, said louder."""

    word = "call"
