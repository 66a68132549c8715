"""OpenAI's embeddings and moderations to Ogam's values and back. Pure."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

from ogam.capabilities.classification import Classification, ClassifyRequest, ClassifyResult
from ogam.capabilities.embedding import EmbedRequest, EmbedResult
from ogam.errors import InvalidRequestError, UnsupportedOptionError
from ogam.protocols.openai import wire_embeddings as wire
from ogam.protocols.openai.convert import texts

# The vendor's bound on the texts of one request.
MAX_INPUTS = 2048
# ... and on their tokens together.
MAX_TOKENS = 300_000

# What a text is compared with, by category. An encoder knows no categories; it tells how near a
# text is to each of these. Chosen, as the numbers below, on 200 sentences written for it. A rough
# sieve, not a judge.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "harassment": (
        "insulting and abusing a person",
        "you are a worthless idiot",
        "nobody likes you, you disgusting freak",
    ),
    "harassment/threatening": ("I will hurt you", "I will kill you"),
    "hate": (
        "racist hatred",
        "hating immigrants, Jews, Muslims or gay people",
        "foreigners are vermin and parasites",
        "women are stupid and inferior",
    ),
    "hate/threatening": ("killing all people of a race or religion",),
    "illicit": (
        "making drugs, stealing and fraud",
        "how to commit a crime",
        "buying cocaine or meth",
    ),
    "illicit/violent": ("making a bomb or buying illegal guns",),
    "self-harm": ("self-harm and suicide",),
    "self-harm/instructions": ("methods of suicide",),
    "self-harm/intent": ("I want to kill myself",),
    "sexual": ("sex and nudity", "pornography", "I want to have sex with you"),
    "sexual/minors": ("child pornography", "sexually abusing a child"),
    "violence": ("killing and hurting people", "murder", "torturing people or animals"),
    "violence/graphic": ("a bloody, mutilated corpse",),
}
# In the tone of what they stand against: a sentence from me to you is near to another such one.
HARMLESS = (
    "everyday life",
    "the weather",
    "food and cooking",
    "sport and games",
    "work and business",
    "science and education",
    "family and friends",
    "computers and programming",
    "travel and places",
    "books, films and music",
    "a museum or a church",
    "feelings and advice",
    "I love you",
    "I miss you and my heart is broken",
    "I am proud of you",
    "OK, yes, no",
    "thank you and see you tomorrow",
    "I am sorry",
    "tired, hungry or bored to death",
    "a joke or a figure of speech",
    "stopping a program or a process",
    "a crime novel, a play or a fairy tale",
    "the police, a court and the news",
    "an accident or a disaster in the news",
    "war and weapons in history",
    "a religious holiday or service",
    "welcoming and helping refugees",
    "pain, medicine and a visit to the doctor",
    "disagreeing with somebody",
    "an angry customer",
    "raw meat in the kitchen",
    "killing weeds and insects in the garden",
    "sex education and health",
    "treating depression",
    "winning or losing a match",
    "pets and animals",
    "a marriage and a kiss",
    "a baby and a playground",
    "a shop or a pharmacy",
    "something does not work or is out of order",
)
LABELS = (*(label for own in CATEGORIES.values() for label in own), *HARMLESS)
# How near the nearest harmless label is counts against a category, in log-odds, and so does this,
# which puts 0.5 where hardly a harmless sentence is flagged: of those it was chosen on 4 of 130
# (three of them figures of speech: "I could murder a pizza"), and 59 of 70 harmful ones; of those
# in its test, for which no label was chosen, none of 50, and 17 of 20. All are English, as the
# encoder is.
BIAS = 2.5


def embed_request(body: wire.EmbeddingsBody) -> EmbedRequest:
    """What is to be embedded."""
    found = texts(body.input, "input")
    _check_inputs(found)
    return EmbedRequest(texts=tuple(found), dimensions=body.dimensions)


def embeddings_body(request: EmbedRequest, model: str) -> wire.EmbeddingsBody:
    """The body that asks for ``request``, vectors as base64."""
    return wire.EmbeddingsBody(
        model=model,
        input=list(request.texts),
        dimensions=request.dimensions,
        encoding_format="base64",
    )


def embeddings_reply(result: EmbedResult, body: wire.EmbeddingsBody) -> wire.Embeddings:
    """The vectors in the encoding that was asked for."""
    vectors, tokens = result.vectors, result.units.input_tokens
    rows: list[str] | list[list[float]]
    if body.encoding_format == "base64":
        width = 4 * vectors.dimensions
        view = memoryview(vectors.data)
        rows = [
            base64.b64encode(view[at : at + width]).decode("ascii")
            for at in range(0, len(view), width)
        ]
    else:
        rows = vectors.tolist()
    return wire.Embeddings(
        data=[wire.Embedding(index=at, embedding=row) for at, row in enumerate(rows)],
        model=result.model,
        usage=wire.EmbeddingsUsage(prompt_tokens=tokens, total_tokens=tokens),
    )


def classify_request(body: wire.ModerationsBody) -> ClassifyRequest:
    """What is to be compared with the labels of all categories."""
    given = [body.input] if isinstance(body.input, str) else body.input
    whole = [one for one in given if isinstance(one, str)]
    parts = [one for one in given if not isinstance(one, str)]
    if parts and whole:
        raise InvalidRequestError(
            "input mixes texts and parts.", hint="Send one kind.", param="input"
        )
    if parts:
        for part in parts:
            if part.type != "text" or part.text is None:
                raise UnsupportedOptionError(
                    f"input holds a part of type {part.type!r}; only text is judged here.",
                    hint="Send text alone.",
                    param="input",
                )
        whole = ["\n".join(part.text or "" for part in parts)]
    _check_inputs(whole)
    return ClassifyRequest(texts=tuple(whole), labels=LABELS, multi_label=True)


def moderations_body(request: ClassifyRequest, model: str) -> wire.ModerationsBody:
    """The body that asks which of the 13 categories each text falls under, by the vendor's model.

    UnsupportedOptionError for labels of the caller's own.
    """
    if request.labels:
        raise UnsupportedOptionError(
            "OpenAI's moderation chooses among its own categories only.",
            hint="Leave the labels out, or take a model that classifies zero-shot.",
            param="labels",
        )
    return wire.ModerationsBody(input=list(request.texts), model=model)


def batches(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """The texts, in order, in as few parts as the vendor takes: by their number and their length.

    The vendor bounds the tokens of one request; no token is shorter than a byte.
    """
    parts: list[list[str]] = []
    held = 0
    for text in texts:
        size = len(text.encode())
        if not parts or len(parts[-1]) == MAX_INPUTS or held + size > MAX_TOKENS:
            parts.append([])
            held = 0
        parts[-1].append(text)
        held += size
    return [tuple(part) for part in parts]


def moderations_reply(result: ClassifyResult, identity: str) -> wire.Moderations:
    """The judgements. ``model`` says that it is no moderation model that judged."""
    return wire.Moderations(
        id=identity,
        model=f"{result.model} (zero-shot)",
        results=[moderation(one) for one in result.classifications],
    )


def moderation(found: Classification) -> wire.Moderation:
    """Scores from 0 to 1 for the 13 categories; those over a half are flagged."""
    odds = {one.label: _log_odds(one.score) for one in found.scores}
    against = max(odds[label] for label in HARMLESS) + BIAS
    scores = {
        category: 1 / (1 + math.exp(against - max(odds[label] for label in labels)))
        for category, labels in CATEGORIES.items()
    }
    flags = {category: score > 0.5 for category, score in scores.items()}
    return wire.Moderation(
        flagged=any(flags.values()),
        categories=flags,
        category_scores=scores,
        category_applied_input_types={category: ["text"] for category in scores},
    )


def _log_odds(score: float) -> float:
    # Kept from 0 and 1, whose odds are infinite.
    score = min(max(score, 1e-9), 1 - 1e-9)
    return math.log(score / (1 - score))


def _check_inputs(found: list[str]) -> None:
    if not found:
        raise InvalidRequestError("input is an empty list.", hint="Give a text.", param="input")
    if len(found) > MAX_INPUTS:
        raise InvalidRequestError(
            f"{len(found):,} texts are too many; {MAX_INPUTS:,} may be sent at once.",
            hint="Send several requests.",
            param="input",
        )
