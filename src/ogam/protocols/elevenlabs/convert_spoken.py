"""Speech as ElevenLabs is asked for it, and its answers as Ogam's values. Pure; no I/O."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import NamedTuple

from ogam.capabilities.base import Units
from ogam.capabilities.speech_synthesis import SpeakRequest, Voice, WordTiming
from ogam.errors import UnsupportedOptionError
from ogam.protocols.elevenlabs import languages, wire, wire_answers

# https://elevenlabs.io/docs/eleven-api/resources/best-practices, speed
_SLOWEST, _FASTEST = 0.7, 1.2
_LONGEST_BREAK = 3.0  # seconds; the vendor's
_SSML = re.compile(
    r"(?P<frame></?(?:speak|p|s)(?:\s[^<>]*)?>)"
    r"|(?P<pause><break(?:\s[^<>]*)?(?:/>|>\s*</break>))"
    r"|(?P<comment><!--.*?-->|<\?.*?\?>)"
    r"|(?P<entity>&(?:\#\d{1,7}|\#x[0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos);)"
    r"|(?P<letter>[^<&])",
    re.DOTALL,
)
_TIME = re.compile(r"""\stime\s*=\s*["'](\d{1,5}(?:\.\d{1,6})?)(m?)s["']""")
# So far ahead a character is looked for: over a pause that the vendor does not tell.
_NEAR = 40
_GENDERS = ("male", "female", "neutral")


class Script(NamedTuple):
    """What is sent to be spoken, and where each of its characters stands in what was asked.

    ``places`` has (start, stop) in the request's text for each character; a pause's are empty.
    """

    text: str
    places: Sequence[tuple[int, int]]


def script(request: SpeakRequest, model: str) -> Script:
    """A request's text as the vendor takes it; of SSML its pauses, UnsupportedOptionError for more.

    Of a text without SSML nothing is changed; a ``<break time="1s" />`` in it is a pause to the
    vendor.
    """
    if not request.ssml:
        return Script(request.text, [(at, at + 1) for at in range(len(request.text))])
    pieces: list[str] = []
    places: list[tuple[int, int]] = []
    at = 0
    while at < len(request.text):
        found = _SSML.match(request.text, at)
        if found is None:
            shown = request.text[at : at + 20]
            raise UnsupportedOptionError(
                f"ElevenLabs takes of SSML only pauses, not {shown!r}.",
                hint='Write <break time="500ms"/>, or send plain text.',
                param="ssml",
            )
        piece, spot = _piece(found, model), (at, found.end())
        if found["pause"]:
            spot = (at, at)
        pieces.append(piece)
        places += [spot] * len(piece)
        at = found.end()
    return Script("".join(pieces), places)


def _piece(found: re.Match[str], model: str) -> str:
    if found["pause"]:
        return _pause(found[0], model)
    if found["frame"] or found["comment"]:
        return ""
    return html.unescape(found[0])


def _pause(tag: str, model: str) -> str:
    time = _TIME.search(tag)
    seconds = float(time[1]) / (1000 if time[2] else 1) if time else 0.0
    if time is None or seconds > _LONGEST_BREAK or model.startswith("eleven_v3"):
        raise UnsupportedOptionError(
            f"ElevenLabs has no pause like {tag[:60]} with {model}.",
            hint=f"Give time= of at most {_LONGEST_BREAK:g}s, and not with eleven_v3.",
            param="ssml",
        )
    return f'<break time="{seconds:.3f}s" />' if seconds else ""


def body(request: SpeakRequest, text: str, model: str) -> wire.SpeechBody:
    """The body of a request; UnsupportedOptionError for what no voice of the vendor's can."""
    if request.pitch != 1.0:
        raise UnsupportedOptionError(
            "ElevenLabs's voices have the pitch they have.", hint="Leave pitch out.", param="pitch"
        )
    if not _SLOWEST <= request.rate <= _FASTEST:
        raise UnsupportedOptionError(
            f"ElevenLabs speaks at a rate from {_SLOWEST:g} to {_FASTEST:g}, not {request.rate:g}.",
            param="rate",
        )
    # The multilingual model hears the language from the text and takes no code.
    named = request.language and "multilingual_v2" not in model
    return wire.SpeechBody(
        text=text,
        model_id=model,
        language_code=languages.base(request.language or "") if named else None,
        voice_settings=None if request.rate == 1.0 else wire.VoiceSettings(speed=request.rate),
    )


class Words:
    """Gathers the characters of a script and their times into words, as they come.

    A word ends where white space or a pause is. Characters that the script does not hold where
    they are told are left out.
    """

    def __init__(self, script: Script) -> None:
        self._script, self._at = script, 0
        self._word: list[tuple[str, int, int, float, float]] = []

    def take(self, told: wire.Alignment | None) -> tuple[WordTiming, ...]:
        """The words that these characters end."""
        found: list[WordTiming] = []
        if told is None:
            return ()
        for character, start, end in zip(
            told.characters,
            told.character_start_times_seconds,
            told.character_end_times_seconds,
            strict=False,
        ):
            text, near = self._script.text, self._at + _NEAR
            at = text.find(character, self._at, near) if character else -1
            if at < 0:
                continue
            # What lies between was not told: it cannot lie in the middle of a word.
            if at > self._at:
                found += self.finish()
            self._at = at + len(character)
            first, stop = self._script.places[at]
            if character.isspace() or first == stop:
                found += self.finish()
            else:
                self._word.append((character, first, stop, start, end))
        if self._at == len(self._script.text):
            found += self.finish()
        return tuple(found)

    def finish(self) -> tuple[WordTiming, ...]:
        """The word that nothing ended."""
        word, self._word = self._word, []
        if not word:
            return ()
        first, last = word[0], word[-1]
        return (
            WordTiming(
                text="".join(one[0] for one in word),
                start=first[3],
                end=max(first[3], last[4]),
                offset=first[1],
                length=last[2] - first[1],
            ),
        )


def voice(told: wire_answers.Voice) -> Voice:
    """A voice of the account's. One whose language is not told is ``und``."""
    labels = told.labels or {}
    gender = (labels.get("gender") or "").lower()
    spoken = [one.locale or one.language for one in told.verified_languages or ()]
    tags = tuple(dict.fromkeys(languages.tag(one) for one in spoken if one))
    own = labels.get("language")
    language = next(
        (one for one in tags if own and languages.base(one) == languages.base(own)),
        languages.tag(own) if own else (tags[0] if tags else "und"),
    )
    return Voice(
        id=told.voice_id,
        name=told.name or told.voice_id,
        language=language,
        languages=() if tags in ((), (language,)) else tags,
        gender=gender if gender in _GENDERS else "unknown",  # pyright: ignore[reportArgumentType]
        description=told.description or "",
    )


def named(voices: Sequence[Voice], wanted: str) -> Voice | None:
    """The voice of that id or name. ``Roger`` is also "Roger - Laid-Back, Casual"."""
    name = wanted.strip().casefold()
    for one in voices:
        if one.id == wanted or one.name.casefold() == name:
            return one
    return next((one for one in voices if one.name.casefold().split(" - ")[0] == name), None)


def speaking(voices: Sequence[Voice], language: str | None) -> Voice | None:
    """The first voice that was heard in ``language``, else the first: any speaks every one."""
    if language is not None:
        base = languages.base(language)
        for one in voices:
            if base in {languages.base(tag) for tag in (one.language, *one.languages)}:
                return one
    return voices[0] if voices else None


def billed(told: str, text: str) -> Units:
    """Characters billed. Some voices cost several a character, and the vendor tells so.

    Of models that cost half, it tells half as many, where their price is told as half: what was
    sent stands there, that the half is not taken twice.
    """
    try:
        cost = int(float(told))
    except (ValueError, OverflowError):
        cost = 0
    return Units(characters=max(cost, len(text)))
