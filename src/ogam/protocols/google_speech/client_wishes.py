"""What is asked of Google Speech-to-Text and what it heard, for recordings and streams alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from ogam.capabilities.speech_recognition import RecognitionOptions, Segment
from ogam.errors import UnsupportedOptionError
from ogam.protocols.google_speech import convert, wire

RATE = 16_000
# Of version 2, where none is named: a request must name one.
_DEFAULT_V2 = "long"
# These find out by themselves what is spoken; the others are told, and English if nobody says.
_FINDS_LANGUAGE = "chirp"
_DEFAULT_LANGUAGE = "en-US"
# us-central1-speech.googleapis.com: version 2's models are not the same everywhere.
_REGION = re.compile(r"([a-z0-9-]+)-speech\.googleapis\.com")


class Model(NamedTuple):
    """``v2/long`` -> version 2, model ``long``. ``location`` is the address's, else global."""

    version: int
    name: str
    location: str

    @classmethod
    def of(cls, model: str, url: str) -> Model:
        """What the second part of a model's name says."""
        first, _, name = model.partition("/")
        region = _REGION.fullmatch(urlsplit(url).hostname or "")
        return cls(
            version=2 if first == "v2" else 1,
            name=(name or _DEFAULT_V2) if first == "v2" else model,
            location=region[1] if region else "global",
        )

    def recognizer(self, project: str) -> str:
        """The recogniser that has no settings of its own."""
        return f"projects/{project}/locations/{self.location}/recognizers/_"


def asked(model: Model, options: RecognitionOptions, encoding: str) -> convert.Asked:
    """Options as a configuration: words with their times and confidences, one channel.

    UnsupportedOptionError for a grammar or keywords: Google takes phrases.
    """
    for param in ("grammar", "keywords"):
        if getattr(options, param):
            raise UnsupportedOptionError(
                f"Google Speech takes no {param}.", hint="Give phrases instead.", param=param
            )
    finds = model.version == 2 and model.name.startswith(_FINDS_LANGUAGE)
    languages = () if finds else (_DEFAULT_LANGUAGE,)
    if options.language is not None:
        languages = (convert.code(options.language),)
    return convert.Asked(
        languages=languages,
        options=msgspec.structs.replace(options, language=None),
        encoding=encoding,
        sample_rate=RATE,
        channels=1,
        times=True,
        confidences=True,
        model=model.name,
    )


def heard(
    options: RecognitionOptions,
    results: Sequence[wire.SpeechRecognitionResult],
    start: float = 0.0,
) -> list[Segment]:
    """The utterances, for sound that begins ``start`` seconds into the whole.

    An utterance without words begins where the one before it ends.
    """
    segments: list[Segment] = []
    for result in results:
        if not result.alternatives:
            continue
        one = convert.segment(result)
        begins = one.start if one.words else segments[-1].end - start if segments else 0.0
        words = (
            msgspec.structs.replace(word, start=word.start + start, end=word.end + start)
            for word in one.words
        )
        segments.append(
            msgspec.structs.replace(
                one,
                start=begins + start,
                end=max(one.end, begins) + start,
                words=tuple(words),
                # The one reading there is, is the text.
                alternatives=one.alternatives if options.alternatives > 1 else (),
            )
        )
    return segments


def text_of(segments: Sequence[Segment]) -> str:
    """The whole transcript."""
    return " ".join(one.text for one in segments if one.text)
