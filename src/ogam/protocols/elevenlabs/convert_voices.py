"""Voices and models between Ogam's values and ElevenLabs's JSON. Pure functions; no I/O."""

from __future__ import annotations

from collections.abc import Sequence

from ogam.capabilities.speech_synthesis import Voice
from ogam.errors import InvalidRequestError
from ogam.protocols.elevenlabs import languages, wire
from ogam.protocols.elevenlabs.convert import MAX_CHARACTERS

# The vendor's voices that every account has or had, which programs carry in their text: they
# are answered in the engine's own voice for the language.
# https://elevenlabs.io/docs/eleven-creative/voices/default-voices
PREMADE = {
    "21m00Tcm4TlvDq8ikWAM": "Rachel", "29vD33N1CtxCmqQRPOHJ": "Drew",
    "2EiwWnXFnvU5JabPnv8n": "Clyde", "5Q0t7uMcjvnagumLfvZi": "Paul",
    "9BWtsMINqrJLrRacOk9x": "Aria", "AZnzlk1XvdvUeBnXmlld": "Domi",
    "CYw3kZ02Hs0563khs1Fj": "Dave", "CwhRBWXzGAHq8TQ4Fs17": "Roger",
    "D38z5RcWu1voky8WS1ja": "Fin", "EXAVITQu4vr4xnSDxMaL": "Sarah",
    "ErXwobaYiN019PkySvjV": "Antoni", "FGY2WhTYpPnrIDTdsKH5": "Laura",
    "GBv7mTt0atIp3Br8iCZE": "Thomas", "IKne3meq5aSn9XLyUdCD": "Charlie",
    "JBFqnCBsd6RMkjVDRZzb": "George", "LcfcDJNUP1GQjkzn1xUU": "Emily",
    "MF3mGyEYCl7XYWbV9V6O": "Elli", "N2lVS1w4EtoT3dr4eOWO": "Callum",
    "ODq5zmih8GrVes37Dizd": "Patrick", "SAz9YHcvj6GT2YYXdXww": "River",
    "SOYHLrjzK2X1ezoPC6cr": "Harry", "TX3LPaxmHKxFdv7VOQHJ": "Liam",
    "ThT5KcBeYPX3keUQqHPh": "Dorothy", "TxGEqnHWrfWFTfGW9XjX": "Josh",
    "VR6AewLTigWG4xSOukaG": "Arnold", "XB0fDUnXU5powFXDhCwa": "Charlotte",
    "Xb7hH8MSUJpSbSDYk0k2": "Alice", "XrExE9yKIg1WjnnlVkGX": "Matilda",
    "ZQe5CZNOzWyzPSCn5a3c": "James", "Zlb1dXrM653N07WRdFW3": "Joseph",
    "bIHbv24MWmeRgasZH58o": "Will", "bVMeCyTHy58xNoL34h3p": "Jeremy",
    "cgSgspJ2msm6clMCkdW9": "Jessica", "cjVigY5qzO86Huf0OWal": "Eric",
    "flq6f7yk4E4fJM5XTYuZ": "Michael", "g5CIjZEefAph4nQFvHAz": "Ethan",
    "iP95p4xoKVk53GoZ742B": "Chris", "jBpfuIE2acCO8z3wKNLl": "Gigi",
    "jsCqWAovK2LkecY7zXl4": "Freya", "nPczCjzI2devNBz1zQrb": "Brian",
    "oWAxZDx7w5VEj9dCyTzz": "Grace", "onwK4e9ZLuTAKqWW03F9": "Daniel",
    "pFZP5JQG7iQjIQuC4Bku": "Lily", "pMsXgVXv3BLzUgSXRplE": "Serena",
    "pNInz6obpgDQGcFmaJgB": "Adam", "piTKgcLEGmPE4e6mEKli": "Nicole",
    "pqHfZKP75CvOlQylNhV4": "Bill", "t0jbNlBVZ17f02VDIeMI": "Jessie",
    "wViXBPUzp2ZZixB1xQuM": "Ryan", "yoZ06aMxZJJ28mfd3POQ": "Sam",
    "z9fAnlkpzviPz146aGWa": "Glinda", "zcAOhNBS3c14rBihAFp1": "Giovanni",
    "zrHiDhphv9ZnVXBqCLjz": "Mimi",
}  # fmt: skip
SETTINGS = wire.VoiceSettings(
    stability=0.5, similarity_boost=0.75, style=0.0, use_speaker_boost=True, speed=1.0
)


def in_order(voices: Sequence[Voice], model: str) -> list[Voice]:
    """The voices, those first that ``model`` (``espeak/ko``) speaks with by default.

    Programs take the first voice of the list; that must not be Afrikaans for its alphabet. An
    engine lists its default first; after it come those of its language.
    """
    if not voices:
        return []
    wanted = model.partition("/")[2].lower()
    if not any(wanted in (one.id.lower(), languages.base(one.language)) for one in voices):
        first = voices[0]
        return [first, *sorted(voices[1:], key=lambda one: one.language != first.language)]

    def far(one: Voice) -> tuple[bool, bool, bool]:
        return (
            one.id.lower() != wanted,
            one.language.lower() != wanted,
            languages.base(one.language) != languages.base(wanted),
        )

    return sorted(voices, key=far)


def voice(one: Voice, model: str) -> wire.Voice:
    """An engine's voice."""
    tags = one.languages or (one.language,)
    return wire.Voice(
        voice_id=one.id,
        name=one.name,
        description=one.description or f"A voice of {model}.",
        labels={"language": languages.base(one.language), "gender": one.gender},
        settings=SETTINGS,
        verified_languages=[
            wire.VerifiedLanguage(language=languages.base(tag), model_id=model, locale=tag)
            for tag in tags
        ],
        high_quality_base_model_ids=[model],
    )


def premade(voice_id: str, name: str, model: str) -> wire.Voice:
    """A voice that is answered by the default one."""
    return wire.Voice(
        voice_id=voice_id,
        name=name,
        description=f"Spoken by the default voice of {model}.",
        settings=SETTINGS,
        high_quality_base_model_ids=[model],
    )


def unlisted(voice_id: str, model: str) -> wire.Voice:
    """A voice of which the engine tells no more than that it has it."""
    return wire.Voice(
        voice_id=voice_id,
        name=voice_id,
        description=f"A voice of {model}.",
        settings=SETTINGS,
        high_quality_base_model_ids=[model],
    )


def speaking_model(name: str, voices: Sequence[Voice]) -> wire.Model:
    """A model that speaks these voices' languages."""
    tags = [tag for one in voices for tag in (one.languages or (one.language,))]
    found = dict.fromkeys(map(languages.base, tags))
    return _model(name, list(found), speaks=True)


def hearing_model(name: str) -> wire.Model:
    """A model that transcribes; engines do not list what they hear."""
    return _model(name, [], speaks=False)


def _model(name: str, codes: list[str], *, speaks: bool) -> wire.Model:
    most = MAX_CHARACTERS if speaks else 0
    return wire.Model(
        model_id=name,
        name=name,
        description=f"{'Speaks' if speaks else 'Transcribes'} on this machine.",
        languages=[wire.Language(language_id=one, name=languages.name(one)) for one in codes],
        can_do_text_to_speech=speaks,
        maximum_text_length_per_request=most,
        max_characters_request_free_user=most,
        max_characters_request_subscribed_user=most,
    )


def page(voices: Sequence[wire.Voice], query: wire.VoicesQuery) -> wire.VoicesPage:
    """The voices that fit the query, from its token on."""
    found = [one for one in voices if _fits(one, query)]
    if query.sort == "name":
        found.sort(key=lambda one: one.name.lower())
    if query.sort_direction == "desc":
        found.reverse()
    start = _start(query.next_page_token)
    stop = start + query.page_size
    more = stop < len(found)
    return wire.VoicesPage(
        voices=found[start:stop],
        has_more=more,
        total_count=len(found),
        next_page_token=str(stop) if more else None,
    )


def _fits(one: wire.Voice, query: wire.VoicesQuery) -> bool:
    if query.voice_ids and one.voice_id not in query.voice_ids:
        return False
    if (query.category or "premade") != "premade":
        return False
    if (query.voice_type or "default") not in ("default", "non-community"):
        return False
    # Nothing here is fine-tuned, collected, or labelled by age, accent or use.
    if any((query.fine_tuning_state, query.collection_id, query.age, query.accent)):
        return False
    if query.use_cases or (query.gender and query.gender.lower() != one.labels.get("gender")):
        return False
    if query.language:
        wanted = languages.base(query.language)
        if wanted not in {spoken.language for spoken in one.verified_languages}:
            return False
    text = " ".join((one.voice_id, one.name, one.description, *one.labels.values())).lower()
    return query.search.strip().lower() in text


def _start(token: str | None) -> int:
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) < 10):
        raise InvalidRequestError(
            "That is no page's token.",
            hint="Send next_page_token as it came with the page before.",
            param="next_page_token",
        )
    return int(token)
