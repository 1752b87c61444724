"""Language identification as IFEval uses it: langdetect with its random seed fixed at 0."""

from __future__ import annotations


def language(text: str) -> str | None:
    """The language code langdetect finds with seed 0, or None for a text without letters."""
    from langdetect import LangDetectException, detector_factory

    detector_factory.init_factory()
    detector = detector_factory._factory.create()
    detector.seed = 0
    detector.append(text)
    try:
        return str(detector.detect())
    except LangDetectException:
        return None
