"""A tiny Whisper made here: equal to transformers, word times, streams, languages, bad folders."""

import shutil
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("faster_whisper")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402

from ogam.capabilities.base import CancelledWork, ModelRef, cancellable  # noqa: E402
from ogam.capabilities.speech_recognition import (  # noqa: E402
    Keyword,
    PartialTranscript,
    RecognitionOptions,
    TranscribeRequest,
    TranscribeResult,
)
from ogam.engines import whisper  # noqa: E402
from ogam.engines.huggingface_transformers import TransformersEngine  # noqa: E402
from ogam.engines.whisper import WhisperEngine  # noqa: E402
from ogam.errors import (  # noqa: E402
    ConfigurationError,
    NotConfiguredError,
    UnknownLanguageError,
    UnsupportedOptionError,
)
from ogam.media import Audio  # noqa: E402

TEXT_TOKENS = 50257
LANGUAGES = list(transformers.models.whisper.tokenization_whisper.LANGUAGES)[:100]
MARKS = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{tag}|>" for tag in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
    *(f"<|{hundredths / 100:.2f}|>" for hundredths in range(0, 3001, 2)),
]


def tokenizer():
    """Whisper's numbers for its marks; the text's tokens are bytes and made-up words."""
    units = [chr(one) for one in sorted(map(ord, pre_tokenizers.ByteLevel.alphabet()))]
    # The empty word is what CTranslate2 knows a model of many languages by; English ones lack it.
    words = [*units, *(f"Ġx{number}" for number in range(TEXT_TOKENS - len(units) - 1)), ""]
    made = Tokenizer(models.BPE({word: at for at, word in enumerate(words)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(MARKS)
    return made


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """(CTranslate2's folder, transformers' model)."""
    from ctranslate2.converters import TransformersConverter

    transformers.utils.logging.disable_progress_bar()
    root = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(4)
    first = TEXT_TOKENS
    marks = {mark: first + at for at, mark in enumerate(MARKS)}
    config = transformers.WhisperConfig(
        vocab_size=first + len(MARKS),
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        bos_token_id=first,
        eos_token_id=first,
        pad_token_id=first,
        decoder_start_token_id=marks["<|startoftranscript|>"],
        init_std=0.4,
    )
    network = transformers.WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        # Texts of some ten tokens, where random weights would seldom end.
        network.model.decoder.embed_tokens.weight[first] *= 2.5
    # A new one: what is set on that of a model made here is not saved.
    network.generation_config = transformers.GenerationConfig(
        lang_to_id={f"<|{one}|>": marks[f"<|{one}|>"] for one in LANGUAGES},
        task_to_id={"transcribe": marks["<|transcribe|>"]},
        no_timestamps_token_id=marks["<|notimestamps|>"],
        is_multilingual=True,
        alignment_heads=[[1, 0], [1, 1]],
        suppress_tokens=[],
        begin_suppress_tokens=[],
        max_length=448,
        eos_token_id=first,
        pad_token_id=first,
        bos_token_id=first,
        decoder_start_token_id=marks["<|startoftranscript|>"],
    )
    network.save_pretrained(root / "hf")
    made = tokenizer()
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    )
    wrapped.save_pretrained(root / "hf")
    transformers.WhisperFeatureExtractor().save_pretrained(root / "hf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        TransformersConverter(
            str(root / "hf"), copy_files=["tokenizer.json", "preprocessor_config.json"]
        ).convert(str(root / "ct2"))
    return root / "ct2", network


def make(path):
    return WhisperEngine(ModelRef(name="whisper/./tiny", engine="whisper", folder=path))


@pytest.fixture(scope="module")
def engine(folder):
    engine = make(folder[0])
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def jfk(samples):
    return Audio(samples / "speech" / "jfk.flac")


@pytest.fixture(scope="module")
def spoken(engine, jfk):
    return engine.transcribe(TranscribeRequest(audio=jfk))


def test_greedy_text_is_what_transformers_writes(folder, engine, jfk):
    from faster_whisper.audio import pad_or_trim
    from faster_whisper.feature_extractor import FeatureExtractor
    from faster_whisper.tokenizer import Tokenizer as Marks
    from faster_whisper.transcribe import get_suppressed_tokens
    from transformers.generation import GenerationMixin
    from transformers.generation.logits_process import (
        SuppressTokensLogitsProcessor,
        WhisperTimeStampLogitsProcessor,
    )

    samples = jfk.pcm(16_000, 1).numpy()[:, 0]
    features = torch.tensor(pad_or_trim(FeatureExtractor()(samples)[:, :-1])[None])
    marks = Marks(tokenizer(), True, task="transcribe", language="de")
    start = marks.sot_sequence
    assert len(start) == 3
    settings = transformers.GenerationConfig(
        no_timestamps_token_id=marks.no_timestamps,
        eos_token_id=marks.eot,
        pad_token_id=marks.eot,
        max_initial_timestamp_index=50,
    )
    # The window's tokens alone: Whisper's own generate would go on to the windows after it.
    out = GenerationMixin.generate(
        folder[1],
        features,
        decoder_input_ids=torch.tensor([start]),
        generation_config=settings,
        max_new_tokens=24,
        logits_processor=[
            SuppressTokensLogitsProcessor(list(get_suppressed_tokens(marks, [-1]))),
            WhisperTimeStampLogitsProcessor(settings, len(start)),
        ],
    )[0, len(start) :].tolist()
    found, _ = engine._load()._model.transcribe(
        samples, language="de", beam_size=1, temperature=0.0, max_new_tokens=24
    )
    ours = [token for one in found if one.seek == 0 for token in one.tokens]
    assert len(set(ours)) > 3 and ours == out[: len(ours)]


def test_the_engine_over_transformers_hears_what_transformers_hears(folder, engine, jfk):
    path = folder[0].parent / "hf"
    ref = ModelRef(name="transformers/./hf", engine="transformers", folder=path)
    other = TransformersEngine(ref)
    assert other.capabilities == {"transcribe"}
    told = RecognitionOptions(language="de")
    result = other.transcribe(TranscribeRequest(audio=jfk, options=told))
    samples = jfk.pcm(16_000, 1).numpy()[:, 0]
    features = transformers.WhisperFeatureExtractor()(
        samples, sampling_rate=16_000, return_tensors="pt"
    ).input_features
    found = folder[1].generate(
        features, language="de", task="transcribe", return_timestamps=True, return_segments=True
    )["segments"][0]
    inside = [one for one in found if float(one["start"]) < 11]
    marks = tokenizer()
    assert [one.text for one in result.segments] == [
        marks.decode(one["tokens"].tolist(), skip_special_tokens=True).strip() for one in inside
    ]
    assert result.segments[0].start == pytest.approx(float(inside[0]["start"]), abs=0.01)
    assert result.segments[-1].end <= 11 and result.units.audio_ms == 11_000
    guessed = other.transcribe(TranscribeRequest(audio=jfk))
    assert guessed.language in LANGUAGES
    other.close()


def test_words_have_times_that_increase_and_confidences(spoken):
    assert isinstance(spoken, TranscribeResult)
    assert spoken.model == "whisper/./tiny" and spoken.engine == "whisper"
    assert spoken.units.audio_ms == 11_000 and spoken.duration == pytest.approx(11.0)
    assert spoken.words and spoken.text == " ".join(one.text for one in spoken.segments)
    times = [time for word in spoken.words for time in (word.start, word.end)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= 11.0
    assert all(0 <= one.confidence <= 1 for one in (*spoken.words, *spoken.segments))


def test_the_language_is_one_of_its_own(engine, spoken, jfk):
    assert spoken.language in LANGUAGES
    told = RecognitionOptions(language="ko-KR")
    assert engine.transcribe(TranscribeRequest(audio=jfk, options=told)).language == "ko"


def test_equal_recordings_give_equal_text_whoever_asks(engine, jfk, spoken):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: engine.transcribe(TranscribeRequest(audio=jfk)), range(3)))
    assert all(one == spoken for one in found)


def test_silence_is_empty_text_and_not_an_error(engine):
    for seconds in (0.05, 2):
        silence = Audio.from_pcm(bytes(int(seconds * 16_000) * 2), 16_000)
        result = engine.transcribe(TranscribeRequest(audio=silence))
        assert result.text == "" and result.segments == () and result.language is None
        assert result.units.audio_ms == int(seconds * 1000)


def test_a_stream_has_the_promised_shape(engine, jfk, monkeypatch):
    monkeypatch.setattr(whisper, "BEAM", 1)
    five = jfk.pcm(16_000, 1).data[: 5 * 32_000]
    blocks = (five[at : at + 8_000] for at in range(0, len(five), 8_000))
    *news, last = engine.transcribe_stream(blocks, RecognitionOptions(language="en"))
    assert all(isinstance(one, PartialTranscript) for one in news)
    assert isinstance(last, TranscribeResult)
    assert [one.segment for one in news if one.is_final] == list(last.segments) != []
    assert last.units.audio_ms == 5_000 and last.language == "en"
    assert last.text == " ".join(one.text for one in last.segments)
    times = [time for word in last.words for time in (word.start, word.end)]
    assert times == sorted(times) and times[-1] <= 5.0


def test_an_empty_stream_is_an_empty_result(engine):
    (last,) = engine.transcribe_stream(iter([b"", b"\0"]), RecognitionOptions())
    assert last.text == "" and last.units.audio_ms == 0


def heard(*times):
    return [whisper.Segment(text="x", start=start, end=end) for start, end in times]


def test_what_is_settled_is_what_another_segment_or_a_pause_follows():
    window = whisper._Window()
    window.add(bytes(32_000 * 5))
    assert window.settled([], over=True) == 0
    assert window.settled(heard((0, 2), (2, 4.5)), over=False) == 1
    assert window.settled(heard((0, 2), (2, 3.9)), over=False) == 2
    assert window.settled(heard((0, 4.9)), over=False) == 0
    assert window.settled(heard((0, 4.9)), over=True) == 1
    window.add(bytes(32_000 * 22))
    assert window.settled(heard((0, 26.9)), over=False) == 1


def test_a_window_forgets_whole_samples_and_knows_its_place():
    window = whisper._Window()
    window.add(b"\x01")
    window.add(bytes(32_000))
    assert len(window.samples()) == 16_000
    assert window.quiet(0.0) == pytest.approx(0.0, abs=1e-4)
    window.drop(0.5)
    assert window.start == 0.5 and len(window.samples()) == 8_000 and window.size == 32_001
    window.drop(9)
    assert len(window.samples()) == 0 and window.start == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        RecognitionOptions(grammar="#JSGF V1.0; grammar g; public <a> = b;"),
        RecognitionOptions(keywords=(Keyword(phrase="a"),)),
        RecognitionOptions(alternatives=2),
    ],
)
def test_what_it_cannot_do_is_refused(engine, jfk, options):
    with pytest.raises(UnsupportedOptionError):
        engine.transcribe(TranscribeRequest(audio=jfk, options=options))
    with pytest.raises(UnsupportedOptionError):
        next(iter(engine.transcribe_stream(iter(()), options)))


def test_a_language_it_does_not_know_is_refused(engine, jfk):
    with pytest.raises(UnknownLanguageError, match="100 languages"):
        engine.transcribe(TranscribeRequest(audio=jfk, options=RecognitionOptions(language="tlh")))


def test_a_caller_who_leaves_stops_the_work(engine, jfk):
    def work():
        gone = threading.Event()
        gone.set()
        cancellable(gone)
        engine.transcribe(TranscribeRequest(audio=jfk))

    with ThreadPoolExecutor(1) as pool, pytest.raises(CancelledWork):
        pool.submit(work).result()


def test_no_folder_and_damaged_ones_are_one_line(folder, tmp_path, jfk):
    with pytest.raises(NotConfiguredError):
        make(None).transcribe(TranscribeRequest(audio=jfk))
    for name in ("model.bin", "config.json", "tokenizer.json"):
        place = tmp_path / name
        shutil.copytree(folder[0], place)
        (place / name).write_bytes(b"{broken")
        with pytest.raises(ConfigurationError) as caught:
            make(place).transcribe(TranscribeRequest(audio=jfk))
        assert "\n" not in str(caught.value)
        (place / name).unlink()
        with pytest.raises(ConfigurationError, match=name):
            make(place).transcribe(TranscribeRequest(audio=jfk))


def test_making_one_loads_nothing(folder):
    engine = make(folder[0])
    assert engine._model is None
    engine.close()
    engine.close()
