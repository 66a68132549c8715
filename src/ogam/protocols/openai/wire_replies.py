"""What servers that speak OpenAI's protocol really answer, as types.

They leave out what OpenAI promises (usage, id, finish_reason, the echo of the model), write null
for it, or add to it, so only what is read stands here, and all of it may be missing. What Ogam
itself answers is in the other ``wire`` modules.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Usage(msgspec.Struct, kw_only=True):
    """Every resource's: tokens by their older and newer names, or the seconds of a recording.

    The details may be anything: what others than OpenAI put there must not spoil the rest.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    seconds: float | None = None
    prompt_tokens_details: Any = None
    input_tokens_details: Any = None


class Answer(msgspec.Struct, kw_only=True):
    """The message of a choice, or what a chunk adds to it."""

    content: str | None = None
    refusal: str | None = None


class Choice(msgspec.Struct, kw_only=True):
    """One answer, whole (``message``) or a piece of it (``delta``)."""

    index: int = 0
    message: Answer | None = None
    delta: Answer | None = None
    finish_reason: str | None = None


class Chat(msgspec.Struct, kw_only=True):
    """A whole chat, or one event of a stream.

    ``error`` is that of a stream which broke; vLLM has also told one by ``object`` "error".
    """

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None
    object: str | None = None


class Embedding(msgspec.Struct, kw_only=True):
    """One vector, as numbers or base64."""

    embedding: list[float] | str
    index: int | None = None


class Embeddings(msgspec.Struct, kw_only=True):
    """The vectors."""

    data: list[Embedding]
    usage: Usage | None = None


class Moderation(msgspec.Struct, kw_only=True):
    """One judgement, by category. A category may be null (of models that do not know it)."""

    category_scores: dict[str, float | None]


class Moderations(msgspec.Struct, kw_only=True):
    """The judgements, in the order of the input."""

    results: list[Moderation]


class Language(msgspec.Struct, kw_only=True):
    """A language that was heard."""

    code: str | None = None


class Word(msgspec.Struct, kw_only=True):
    """A word, in seconds from the start."""

    word: str
    start: float
    end: float


class Segment(msgspec.Struct, kw_only=True):
    """An utterance, in seconds from the start."""

    text: str
    start: float
    end: float
    avg_logprob: float | None = None


class Transcript(msgspec.Struct, kw_only=True):
    """``json`` and ``verbose_json`` alike; the ``done`` event of a stream, and its deltas."""

    text: str | None = None
    language: str | None = None
    languages: list[Language] | None = None
    duration: float | None = None
    words: list[Word] | None = None
    segments: list[Segment] | None = None
    usage: Usage | None = None
    type: str | None = None
    delta: str | None = None
    error: Any = None


class SpeechEvent(msgspec.Struct, kw_only=True):
    """One event of speech: a piece of the file in base64, or the end."""

    type: str | None = None
    audio: str | None = None
    usage: Usage | None = None
    error: Any = None


class Failure(msgspec.Struct, kw_only=True):
    """An error's object. ``code`` may be a number (vLLM, llama.cpp)."""

    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | int | None = None
