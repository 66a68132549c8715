"""Bounds: no answer a vendor can give costs more than was set aside, and what has no bound says
so.
"""

from __future__ import annotations

import itertools
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ogam.capabilities.base import Units
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest
from ogam.capabilities.speech_recognition import RecognitionOptions, TranscribeRequest
from ogam.capabilities.speech_synthesis import SpeakRequest
from ogam.capabilities.text_generation import GenerateRequest, Message
from ogam.capabilities.translation import TranslateRequest
from ogam.capabilities.vision import FEATURES, SeeRequest
from ogam.errors import OgamError
from ogam.gateway.bounds import PER_MESSAGE, PER_TEXT, Unprovable, bound, document_bound, prove
from ogam.gateway.prices import Billing, Book, Price
from ogam.media import Audio, Image

ROOT = Path(__file__).parent.parent.parent
BOOK = Book.load()
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
TEXT = TEXT.filter(str.strip)


def priced(**values) -> Price:
    row = {"vendor": "v", "models": ["m"], "capabilities": ["generate"], **values}
    row["capabilities"] = list(row["capabilities"])
    found = Book.load([row]).find("v", "m", row["capabilities"][0])
    assert found is not None
    return found


TOKENS = priced(input="0.15", cached="0.075", output="0.60")
LONG = priced(
    input="2",
    cached="1",
    cache_write="3",
    output="7",
    long={"above": 50, "input": "2", "output": "3"},
)
EMBEDDING = priced(capabilities=["embed"], input="0.02")
LABELLING = priced(capabilities=["classify"], input="0.02")
TRANSLATING = priced(capabilities=["translate"], characters="25")
SPEAKING = priced(capabilities=["speak"], characters="15")
HEARING = priced(
    capabilities=["transcribe"], minute="0.024", step_ms=1000, minimum_ms=3000, per_channel=True
)
SEEING = BOOK.find("google_vision", "", "see")


def silence(seconds: float, rate: int = 8000, channels: int = 1) -> Audio:
    return Audio.from_pcm(b"\0" * (2 * channels * round(seconds * rate)), rate, channels)


def picture() -> Image:
    return Image(np.zeros((4, 4, 3), np.uint8))


# --- each of the five kinds of units -------------------------------------------------------------


@given(
    st.lists(TEXT, min_size=1, max_size=4),
    st.integers(1, 5),
    st.integers(1, 1000),
    st.sampled_from([TOKENS, LONG]),
    st.data(),
)
def test_no_answer_costs_more_than_the_bound_of_generate(texts, n, most, price, data):
    messages = tuple(Message(role="user", content=text) for text in texts)
    held = bound("generate", GenerateRequest(messages=messages, n=n, max_tokens=most), price)
    read = data.draw(st.integers(0, sum(len(text.encode()) for text in texts) + 4 * len(texts)))
    actual = Billing(
        units=Units(
            input_tokens=read,
            output_tokens=data.draw(st.integers(0, n * most)),
            cached_input_tokens=data.draw(st.integers(0, read)),
        ),
        cache_writes=data.draw(st.none() | st.integers(0, read)),
    )
    assert price.cost(actual) <= price.cost(held)


@given(st.lists(TEXT, min_size=1, max_size=5), st.data())
def test_no_answer_costs_more_than_the_bound_of_embed_and_classify(texts, data):
    read = sum(len(text.encode()) + 2 for text in texts)
    actual = Billing(units=Units(input_tokens=data.draw(st.integers(0, read))))
    held = bound("embed", EmbedRequest(texts=tuple(texts)), EMBEDDING)
    assert EMBEDDING.cost(actual) <= EMBEDDING.cost(held)
    held = bound("classify", ClassifyRequest(texts=tuple(texts), labels=("a", "b")), LABELLING)
    twice = Billing(units=Units(input_tokens=read + 6 * len(texts)))
    assert LABELLING.cost(twice) <= LABELLING.cost(held)


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_a_translation_is_bounded_by_its_code_points_exactly(texts):
    held = bound("translate", TranslateRequest(texts=tuple(texts), target="de"), TRANSLATING)
    assert held == Billing(units=Units(characters=sum(map(len, texts))))


@given(TEXT)
def test_speech_is_bounded_by_characters_however_they_are_counted(text):
    held = bound("speak", SpeakRequest(text=text), SPEAKING)
    assert held is not None
    assert len(text) <= held.units.characters <= 2 * len(text)
    assert len(text.encode("utf-16-le")) == 2 * held.units.characters
    tagged = bound("speak", SpeakRequest(text=text, ssml=True), SPEAKING)
    assert tagged.units.characters == 2 * held.units.characters


@given(st.integers(1, 40_000), st.sampled_from([8000, 11025, 16000, 44100]), st.integers(1, 2))
def test_no_rounding_of_seconds_costs_more_than_the_bound_of_transcribe(frames, rate, channels):
    audio = Audio.from_pcm(b"\0" * (2 * channels * frames), rate, channels)
    held = bound("transcribe", TranscribeRequest(audio=audio), HEARING)
    seconds = max(3, math.ceil(frames / rate))
    assert held == Billing(units=Units(audio_ms=1000 * seconds * channels))
    for actual in (frames * 1000 // rate, math.ceil(frames * 1000 / rate) * channels):
        assert HEARING.cost(Billing(units=Units(audio_ms=actual))) <= HEARING.cost(held)


@given(st.lists(st.sampled_from(FEATURES[:-1]), max_size=7), st.data())
def test_no_answer_costs_more_than_the_bound_of_see(features, data):
    held = bound("see", SeeRequest(image=picture(), features=tuple(features)), SEEING)
    asked = features or [one for one in FEATURES if one in SEEING.features]
    count = data.draw(st.integers(0, len(set(asked))))
    for named in (tuple(dict.fromkeys(features)), held.features):
        actual = Billing(units=Units(image_features=count), features=named)
        assert SEEING.cost(actual) <= SEEING.cost(held)


def test_no_feature_named_means_each_that_the_vendor_bills():
    held = bound("see", SeeRequest(image=picture()), SEEING)
    assert held == Billing(units=Units(image_features=7))
    every = Billing(units=Units(image_features=7), features=FEATURES[:-1])
    assert 0 < SEEING.cost(every) <= SEEING.cost(held)


def test_a_feature_asked_twice_is_billed_once():
    held = bound("see", SeeRequest(image=picture(), features=("text", "text")), SEEING)
    assert held == Billing(units=Units(image_features=1), features=("text",))


@given(st.lists(TEXT, min_size=1, max_size=3), TEXT, st.integers(1, 100))
def test_more_to_do_never_has_a_smaller_bound(texts, more, most):
    def cost(said, most):
        messages = tuple(Message(role="user", content=text) for text in said)
        return TOKENS.cost(
            bound("generate", GenerateRequest(messages=messages, max_tokens=most), TOKENS)
        )

    assert cost(texts, most) <= cost([*texts, more], most) <= cost([*texts, more], most + 1)


# --- what tokens are ---------------------------------------------------------------------------

SAMPLES = [
    "The quick brown fox jumps over the lazy dog. " * 3,
    "안녕하세요, 오늘 날씨가 좋네요. 다람쥐 헌 쳇바퀴에 타고파.",
    "日本語の文章もあります。中文也有。",
    "def f(x):\n    return {'a': [1, 2, 3]}\n",
    "🦊🐶👩‍👩‍👧‍👦 café naïve ﷺ ﬃ",
]


def byte_level(prefix: bool, split: bool):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=split)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    tokenizer.train_from_iterator(SAMPLES, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def tokenizers():
    from tokenizers import Tokenizer

    trained = [byte_level(*flags) for flags in itertools.product((False, True), repeat=2)]
    shipped = [
        Tokenizer.from_file(str(path))
        for path in sorted(ROOT.glob("starter/src/ogam_starter/models/*/tokenizer.json"))
    ]
    for one in shipped:
        one.no_truncation()
        one.no_padding()
    return trained + shipped


@settings(max_examples=300)
@given(TEXT)
def test_no_tokenizer_makes_more_tokens_of_a_text_than_it_has_bytes(tokenizers, text):
    assert len(tokenizers) >= 5
    for one in tokenizers:
        # What it adds by itself, a space or special tokens, is in the allowance.
        assert len(one.encode(text).ids) <= len(text.encode()) + PER_TEXT


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_a_conversation_in_its_frame_is_within_the_bound(tokenizers, texts):
    messages = tuple(Message(role="assistant", content=text) for text in texts)
    held = bound("generate", GenerateRequest(messages=messages, max_tokens=1), TOKENS)
    # ChatML: a special token, the role, a line; after the text a special token and a line.
    frame = sum(2 + len(tokenizers[0].encode("assistant\n\n").ids) for _ in texts)
    assert frame <= PER_MESSAGE * len(texts)
    read = sum(len(tokenizers[0].encode(text).ids) for text in texts)
    assert read + frame <= held.units.input_tokens


# --- sound -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mp3", "flac", "opus", "aac", "mulaw", "wav", "pcm"])
def test_sound_in_any_format_is_not_shorter_than_it_was(kind):
    tone = (np.sin(np.arange(16_000 * 2) / 9) * 0.3).astype(np.float32)
    audio = Audio(np.stack([tone, tone], axis=1), sample_rate=16_000).encode(kind)
    held = bound("transcribe", TranscribeRequest(audio=audio), HEARING)
    assert 2 * 3000 <= held.units.audio_ms <= 2 * 4000


@settings(max_examples=40)
@given(st.integers(2000, 200_000), st.sampled_from([8000, 11025, 22050, 44100, 48000, 96000]))
def test_sound_sent_at_another_rate_lasts_no_more_whole_seconds(frames, rate):
    audio = Audio.from_pcm(b"\0" * (4 * frames), rate, 2)
    whisper = BOOK.find("openai", "whisper-1", "transcribe")
    held = bound("transcribe", TranscribeRequest(audio=audio), whisper)
    assert math.ceil(audio.pcm(16_000, 1).seconds) * 1000 <= held.units.audio_ms


def test_float_wav_is_decoded_to_know_its_length():
    rate, samples = 8000, struct.pack("<8000f", *([0.1] * 8000)) * 5
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 3, 1,
                       rate, rate * 4, 4, 32, b"data", len(samples))  # fmt: skip
    held = bound("transcribe", TranscribeRequest(audio=Audio(head + samples)), HEARING)
    assert 5000 <= held.units.audio_ms <= 6000


def test_channels_count_only_where_the_vendor_bills_them():
    whisper = BOOK.find("openai", "whisper-1", "transcribe")
    request = TranscribeRequest(audio=silence(1.5, channels=2))
    assert bound("transcribe", request, whisper).units.audio_ms == 2000
    assert bound("transcribe", request, HEARING).units.audio_ms == 6000


def test_sound_billed_by_tokens_has_a_bound_only_where_the_row_says_how_many():
    request = TranscribeRequest(
        audio=silence(1.5), options=RecognitionOptions(phrases=("Ogam", "오감"))
    )
    shipped = BOOK.find("openai", "gpt-4o-transcribe", "transcribe")
    assert bound("transcribe", request, shipped) is None
    told = priced(
        capabilities=["transcribe"],
        input="2.50",
        output="10",
        audio_tokens_per_second=10,
        output_limit=2000,
    )
    held = bound("transcribe", request, told)
    assert held.units.output_tokens == 2000
    assert 20 + 10 <= held.units.input_tokens <= 20 + 200


# --- what has no bound -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capability", "request_", "price", "told"),
    [
        ("generate", GenerateRequest(prompt="x"), TOKENS, "max_tokens"),
        ("generate", GenerateRequest(prompt="x", max_length=9), TOKENS, "max_tokens"),
        ("classify", ClassifyRequest(texts=("x",)), TOKENS, "max_tokens"),
        ("speak", SpeakRequest(text="x"), TOKENS, "[[prices]]"),
        ("translate", TranslateRequest(texts=("x",), target="de"), TOKENS, "[[prices]]"),
        ("generate", GenerateRequest(prompt="x", max_tokens=1), SPEAKING, "[[prices]]"),
        ("transcribe", RecognitionOptions(), HEARING, "[[prices]]"),
        ("transcribe", TranscribeRequest(audio=silence(1)), SPEAKING, "[[prices]]"),
        ("see", SeeRequest(image=picture(), features=("barcodes",)), SEEING, "text"),
    ],
)
def test_what_has_no_bound_says_why_and_what_to_do(capability, request_, price, told):
    assert bound(capability, request_, price) is None
    found = prove(capability, request_, price)
    assert isinstance(found, Unprovable)
    assert found.reason.endswith(".")
    assert told in found.hint
    assert "\n" not in found.reason + found.hint


def test_an_option_of_unknown_cost_has_no_bound():
    scribe = BOOK.find("elevenlabs", "scribe_v2", "transcribe")
    plain = TranscribeRequest(audio=silence(2))
    assert bound("transcribe", plain, scribe) == Billing(units=Units(audio_ms=2000))
    biased = TranscribeRequest(audio=silence(2), options=RecognitionOptions(phrases=("Ogam",)))
    found = prove("transcribe", biased, scribe)
    assert isinstance(found, Unprovable)
    assert "phrases" in found.reason


def test_what_is_free_needs_no_proof():
    free = Price.free("it runs on this machine")
    for request in (GenerateRequest(prompt="x"), SeeRequest(image=picture())):
        held = bound("generate", request, free)
        assert free.cost(held) == 0
    assert document_bound("pdf", free) == Billing()


# --- documents ---------------------------------------------------------------------------------


def test_a_file_counts_its_minimum_and_at_most_what_the_vendor_takes():
    deepl = BOOK.find("deepl", "", "translate")
    for kind in ("docx", ".PDF", "pptx", "xlsx", "doc"):
        assert document_bound(kind, deepl, 17).units.characters == 50_000
    assert document_bound("docx", deepl, 50_001).units.characters == 50_001
    assert document_bound("txt", deepl, 17).units.characters == 17
    assert document_bound("pdf", deepl).units.characters == 1_000_000
    assert document_bound("txt", deepl).units.characters == 1_000_000


def test_a_file_has_no_bound_where_the_vendor_states_no_maximum():
    assert isinstance(document_bound("pdf", TRANSLATING), Unprovable)
    assert isinstance(document_bound("pdf", TOKENS, 5), Unprovable)
    assert document_bound("pdf", TRANSLATING, 5).units.characters == 5


def test_sound_that_is_damaged_is_refused_before_it_is_priced():
    with pytest.raises(OgamError):
        bound("transcribe", TranscribeRequest(audio=Audio(b"ID3" + b"\0" * 200)), HEARING)
