"""transcribe: Whisper, and models that spell what they hear (wav2vec 2, CTC)."""

# transformers leaves most of its types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ogam.capabilities.base import Units, checkpoint
from ogam.capabilities.speech_recognition import (
    PartialTranscript,
    RecognitionOptions,
    Segment,
    TranscribeRequest,
    TranscribeResult,
    Word,
)
from ogam.engines.huggingface_transformers.loading import Loaded, quiet
from ogam.errors import UnknownLanguageError, UnsupportedOptionError
from ogam.media import Audio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

RATE = 16_000
_WINDOW_SECONDS = 30.0
# A spelling model hears so much before and after what is kept of a piece: a word at its edge
# needs what surrounds it.
_PIECE_SECONDS, _EDGE_SECONDS = 20.0, 2.0


def transcribe(loaded: Loaded, request: TranscribeRequest) -> TranscribeResult:
    """Transcribe a recording of any length.

    Whisper gives segments with their times (for words take the engine ``whisper``), spelling
    models one segment with the times of its words. Raises UnknownLanguageError for a language
    that Whisper has not, UnsupportedOptionError for phrases, a grammar, keywords and more than
    one reading.
    """
    _refuse(loaded, request.options)
    pcm = request.audio.pcm(RATE, 1)
    samples = pcm.numpy()[:, 0]
    if loaded.config.model_type == "whisper":
        segments, language = _whisper(loaded, samples, request.options.language)
    else:
        segments, language = _spelt(loaded, samples), request.options.language
    size = len(pcm.data)
    return TranscribeResult(
        engine=loaded.ref.engine,
        model=loaded.ref.name,
        units=Units(audio_ms=-(-size * 1000 // (2 * RATE))),
        text=" ".join(one.text for one in segments),
        segments=tuple(segments),
        duration=len(samples) / RATE,
        language=language,
    )


def stream(
    loaded: Loaded, pcm: Iterator[bytes], options: RecognitionOptions
) -> Iterator[PartialTranscript | TranscribeResult]:
    """The segments when all is said, then the whole result."""
    _refuse(loaded, options)
    said = bytearray()
    for block in pcm:
        checkpoint()
        said += block
    audio = Audio.from_pcm(bytes(said[: len(said) // 2 * 2]), RATE)
    result = transcribe(loaded, TranscribeRequest(audio=audio, options=options))
    for segment in result.segments:
        yield PartialTranscript(text=segment.text, segment=segment)
    yield result


def _whisper(
    loaded: Loaded, samples: Samples, asked: str | None
) -> tuple[list[Segment], str | None]:
    import torch

    tags: dict[str, int] = getattr(loaded.model.generation_config, "lang_to_id", None) or {}
    language = None if asked is None else asked.lower().split("-")[0].split("_")[0]
    if language is not None and f"<|{language}|>" not in tags and (tags or language != "en"):
        raise UnknownLanguageError(
            f"{loaded.ref.name} does not hear {asked!r}.",
            hint=f"It hears {len(tags) or 1} languages, by tags such as en, ko or de.",
            param="language",
        )
    tokenizer: Any = loaded.reader.tokenizer
    segments: list[Segment] = []
    step = int(_WINDOW_SECONDS * RATE)
    at = 0
    while at < len(samples):
        checkpoint()
        piece = samples[at : at + step]
        given = loaded.reader.feature_extractor(piece, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode(), quiet():
            if language is None and tags:
                # Of the first window, for all of them.
                token = int(loaded.model.detect_language(given["input_features"])[0])
                language = next(tag[2:-2] for tag, number in tags.items() if number == token)
            options = {"language": language, "task": "transcribe"} if tags else {}
            out = loaded.model.generate(
                given["input_features"],
                return_timestamps=True,
                return_segments=True,
                do_sample=False,
                num_beams=1,
                temperature=0.0,
                **options,
            )
        start = at / RATE
        until = start + len(piece) / RATE
        for one in out["segments"][0]:
            text = tokenizer.decode(one["tokens"], skip_special_tokens=True).strip()
            since = segments[-1].end if segments else 0.0
            first = min(max(start + float(one["start"]), since), until)
            last = min(max(start + float(one["end"]), first), until)
            if text and first < until:
                segments.append(Segment(text=text, start=round(first, 3), end=round(last, 3)))
        at += step
    return segments, language


def _spelt(loaded: Loaded, samples: Samples) -> list[Segment]:
    """The likeliest letter of each frame, put together to words."""
    import torch

    tokenizer: Any = loaded.reader.tokenizer
    frame = _frame(loaded.config)
    piece, edge = int(_PIECE_SECONDS * RATE), int(_EDGE_SECONDS * RATE)
    kept: list[int] = []
    for start in range(0, len(samples), piece):
        checkpoint()
        first = max(0, start - edge)
        heard = samples[first : start + piece + edge]
        if len(heard) < 2 * frame:
            break
        given = loaded.reader(heard, sampling_rate=RATE, return_tensors="pt")
        values = given.get("input_values", given.get("input_features"))
        with torch.inference_mode():
            letters = loaded.model(values).logits[0].argmax(-1).tolist()
        skip = (start - first) // frame
        kept += letters[skip : skip + -(-min(piece, len(samples) - start) // frame)]
    if not kept:
        return []
    told = tokenizer.decode(kept, output_word_offsets=True, skip_special_tokens=True)
    seconds, end = frame / RATE, len(samples) / RATE
    words = tuple(
        Word(
            text=one["word"],
            start=round(min(one["start_offset"] * seconds, end), 3),
            end=round(min(one["end_offset"] * seconds, end), 3),
        )
        for one in told.word_offsets
        if one["word"]
    )
    if not words:
        return []
    text = " ".join(one.text for one in words)
    return [Segment(text=text, start=words[0].start, end=words[-1].end, words=words)]


def _frame(config: Any) -> int:
    """Samples between two letters."""
    return int(getattr(config, "inputs_to_logits_ratio", 320))


def _refuse(loaded: Loaded, options: RecognitionOptions) -> None:
    asked = {
        "phrases": bool(options.phrases),
        "grammar": options.grammar is not None,
        "keywords": bool(options.keywords),
        "alternatives": options.alternatives > 1,
    }
    for param, there in asked.items():
        if there:
            raise UnsupportedOptionError(
                f"{loaded.ref.name} knows no {param}.", hint="Leave it out.", param=param
            )
