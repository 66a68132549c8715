"""Tiny models that translate, transcribe and see: equal to transformers called directly,
languages, words' times, boxes.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


from ogam.capabilities.speech_recognition import (  # noqa: E402
    RecognitionOptions,
    TranscribeRequest,
)
from ogam.capabilities.translation import TranslateRequest  # noqa: E402
from ogam.capabilities.vision import SeeRequest  # noqa: E402
from ogam.errors import (  # noqa: E402
    InvalidRequestError,
    UnknownLanguageError,
    UnsupportedOptionError,
)
from ogam.media import Audio, Image  # noqa: E402


class TestTranslate:
    def test_a_model_of_tags_writes_what_transformers_writes(self, engines, folders):
        network = transformers.M2M100ForConditionalGeneration.from_pretrained(folders("nllb"))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folders("nllb"))
        request = TranslateRequest(texts=("the old fox", "a bird"), target="de", source="en-US")
        result = engines("nllb").translate(request)
        for text, ours in zip(request.texts, result.texts, strict=True):
            given = tokenizer(text, return_tensors="pt")
            out = network.generate(
                given.input_ids,
                attention_mask=given.attention_mask,
                num_beams=4,
                max_new_tokens=min(3 * given.input_ids.shape[1] + 10, 63),
                forced_bos_token_id=tokenizer.convert_tokens_to_ids("deu_Latn"),
            )
            assert ours == tokenizer.decode(out[0], skip_special_tokens=True).strip()
        assert result.units.characters == 17 and result.translations[0].source == "en-US"

    def test_a_translation_does_not_hang_on_its_company(self, engines):
        texts = ("the old fox", "a bird", "the fox sang to a small bird while", "the child")
        request = TranslateRequest(texts=texts, target="de", source="en", alternatives=3)
        together = engines("nllb").translate(request).translations
        for text, one in zip(texts, together, strict=True):
            alone = TranslateRequest(texts=(text,), target="de", source="en", alternatives=3)
            assert engines("nllb").translate(alone).translations == (one,)
            assert len({one.text, *one.alternatives}) == 1 + len(one.alternatives) <= 3

    def test_languages_it_has_not_are_refused(self, engines):
        for options in ({"target": "fr", "source": "en"}, {"target": "de", "source": "fr"}):
            with pytest.raises(UnknownLanguageError):
                engines("nllb").translate(TranslateRequest(texts=("x",), **options))
        with pytest.raises(InvalidRequestError, match="told the language"):
            engines("nllb").translate(TranslateRequest(texts=("x",), target="de"))
        with pytest.raises(UnsupportedOptionError):
            engines("nllb").translate(
                TranslateRequest(texts=("x",), target="de", source="en", formality="more")
            )

    def test_t5_is_asked_by_its_prefix(self, engines, folders):
        network = transformers.T5ForConditionalGeneration.from_pretrained(folders("t5"))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folders("t5"))
        given = tokenizer("translate English to German: the fox", return_tensors="pt").input_ids
        out = network.generate(given, num_beams=4, max_new_tokens=3 * given.shape[1] + 10)
        request = TranslateRequest(texts=("the fox",), target="de", source="en")
        wanted = tokenizer.decode(out[0], skip_special_tokens=True).strip()
        assert engines("t5").translate(request).text == wanted
        with pytest.raises(UnknownLanguageError):
            engines("t5").translate(TranslateRequest(texts=("x",), target="ko"))


class TestTranscribe:
    def test_letters_words_and_their_times_are_those_of_transformers(
        self, engines, folders, samples
    ):
        jfk = Audio(samples / "speech" / "jfk.flac")
        short = Audio.from_pcm(jfk.pcm(16_000, 1).data[: 32_000 * 4], 16_000)
        result = engines("ctc").transcribe(TranscribeRequest(audio=short))
        network = transformers.Wav2Vec2ForCTC.from_pretrained(folders("ctc"))
        processor = transformers.AutoProcessor.from_pretrained(folders("ctc"))
        values = processor(
            short.pcm().numpy()[:, 0], sampling_rate=16_000, return_tensors="pt"
        ).input_values
        with torch.no_grad():
            letters = network(values).logits[0].argmax(-1)
        wanted = processor.tokenizer.decode(letters, skip_special_tokens=True)
        assert " ".join(wanted.split()) == result.text
        assert result.text and result.units.audio_ms == 4000
        times = [time for word in result.words for time in (word.start, word.end)]
        assert times == sorted(times) and times[0] >= 0 and times[-1] <= 4.0

    def test_a_stream_ends_in_what_the_recording_gives(self, engines, samples):
        jfk = Audio(samples / "speech" / "jfk.flac")
        whole = engines("ctc").transcribe(TranscribeRequest(audio=jfk))
        *news, last = engines("ctc").transcribe_stream(jfk.blocks(16_000), RecognitionOptions())
        assert last == whole
        assert tuple(one.segment for one in news) == whole.segments

    def test_what_it_cannot_do_is_refused(self, engines, samples):
        jfk = Audio(samples / "speech" / "jfk.flac")
        for options in (RecognitionOptions(phrases=("a",)), RecognitionOptions(alternatives=2)):
            with pytest.raises(UnsupportedOptionError):
                engines("ctc").transcribe(TranscribeRequest(audio=jfk, options=options))


@pytest.fixture(scope="module")
def photo():
    return Image(np.random.default_rng(7).integers(0, 256, (60, 90, 3), dtype=np.uint8))


class TestSee:
    def test_labels_are_those_of_transformers(self, engines, folders, photo):
        result = engines("vit").see(SeeRequest(image=photo))
        network = transformers.ViTForImageClassification.from_pretrained(folders("vit"))
        processor = transformers.AutoImageProcessor.from_pretrained(folders("vit"))
        with torch.no_grad():
            given = processor(photo.open().convert("RGB"), return_tensors="pt")
            wanted = network(**given).logits[0].softmax(-1).tolist()
        assert {one.name: pytest.approx(one.score, abs=1e-5) for one in result.labels} == dict(
            zip(("cat", "dog", "bird"), wanted, strict=True)
        )
        assert result.features == ("labels",) and result.units.image_features == 1
        one = engines("vit").see(SeeRequest(image=photo, max_results=1))
        assert one.labels == result.labels[:1]

    def test_objects_have_boxes_within_the_picture(self, engines, photo):
        result = engines("yolos").see(SeeRequest(image=photo, features=("objects",)))
        assert result.objects and {one.name for one in result.objects} <= {"cat", "dog", "bird"}
        for one in result.objects:
            left, top, right, bottom = one.polygon.bounds
            assert 0 <= left <= right <= 90 and 0 <= top <= bottom <= 60
            assert 0.5 <= one.score <= 1
        assert engines("yolos").features == {"objects"}

    def test_a_feature_it_has_not_is_refused(self, engines, photo):
        with pytest.raises(UnsupportedOptionError, match="objects"):
            engines("vit").see(SeeRequest(image=photo, features=("objects",)))
