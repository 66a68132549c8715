"""What ElevenLabs answers, as its client reads it: what is used, and no more is required.

The vendor's own replies leave out and add fields as they like, so that the types by which
Ogam answers (``wire``, ``wire_listening``) would refuse some of them.
https://elevenlabs.io/docs/api-reference
"""

from __future__ import annotations

from typing import Any

import msgspec

from ogam.protocols.elevenlabs.wire import Alignment


class Spoken(msgspec.Struct, kw_only=True):
    """A line of https://elevenlabs.io/docs/api-reference/text-to-speech/stream-with-timestamps.

    Times are seconds from the start of the speech.
    """

    audio_base64: str
    alignment: Alignment | None = None


class VoiceLanguage(msgspec.Struct, kw_only=True):
    """A language that a voice was heard in."""

    language: str | None = None
    locale: str | None = None


class Voice(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/voices/get."""

    voice_id: str
    name: str | None = None
    description: str | None = None
    labels: dict[str, str | None] | None = None
    verified_languages: list[VoiceLanguage] | None = None


class Voices(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/voices/get-all."""

    voices: list[Voice]


class Word(msgspec.Struct, kw_only=True):
    """A word, the space between two, or a sound that is no word ("audio_event")."""

    text: str = ""
    type: str | None = "word"
    start: float | None = None
    end: float | None = None
    logprob: float | None = None


class Transcript(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/speech-to-text/convert."""

    text: str
    words: list[Word] | None = None
    language_code: str | None = None
    audio_duration_secs: float | None = None


class Subscription(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/user/subscription/get."""

    character_count: int
    character_limit: int


class Failure(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/eleven-api/resources/errors.

    ``detail`` is an object with a code, a list of fields at fault (422), or a text.
    """

    detail: Any = None


class Heard(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/speech-to-text/v-1-speech-to-text-realtime.

    What comes over the socket; ``message_type`` tells what of it there is.
    """

    message_type: str
    text: str = ""
    words: list[Word] | None = None
    language_code: str | None = None
    error: str | None = None
