"""Tiny models of each kind, made here: equal to transformers called directly, seeds, streams,
stops, labels, pooling, languages, words' times, boxes, and folders that are refused.
"""

import json
import random
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers  # noqa: E402

from ogam import registry  # noqa: E402
from ogam.capabilities.base import CancelledWork, ModelRef, cancellable  # noqa: E402
from ogam.capabilities.classification import ClassifyRequest  # noqa: E402
from ogam.capabilities.embedding import EmbedRequest  # noqa: E402
from ogam.capabilities.speech_recognition import (  # noqa: E402
    RecognitionOptions,
    TranscribeRequest,
)
from ogam.capabilities.text_generation import (  # noqa: E402
    GenerateRequest,
    GenerateResult,
    Message,
    TextDelta,
)
from ogam.capabilities.translation import TranslateRequest  # noqa: E402
from ogam.capabilities.vision import SeeRequest  # noqa: E402
from ogam.engines.huggingface_transformers import TransformersEngine, loading  # noqa: E402
from ogam.errors import (  # noqa: E402
    ConfigurationError,
    InvalidRequestError,
    NotConfiguredError,
    OgamError,
    TooLargeError,
    UnknownLanguageError,
    UnsupportedOptionError,
)
from ogam.media import Audio, Image  # noqa: E402

PROMPT = "the old fox"


def corpus():
    draw = random.Random(3)
    words = [
        "the",
        "old",
        "fox",
        "saw",
        "a",
        "small",
        "bird",
        "and",
        "sang",
        "to",
        "it",
        "while",
        "the",
        "child",
        "slept",
    ]
    return [" ".join(draw.choices(words, k=9)) for _ in range(200)]


def byte_tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    from tokenizers import decoders

    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        corpus(),
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<end>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<end>", bos_token="<end>", pad_token="<end>"
    )


def bert_tokenizer():
    made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made.train_from_iterator(corpus(), trainers.WordLevelTrainer(special_tokens=special))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = ("pad", "unk", "cls", "sep")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=32,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": mark for name, mark in zip(names, special, strict=True)},
    )


def bert_config(**more):
    return transformers.BertConfig(
        vocab_size=len(bert_tokenizer()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
        **more,
    )


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A function: the folder of a model by name, made once."""
    transformers.utils.logging.disable_progress_bar()
    root = tmp_path_factory.mktemp("models")

    def folder(name):
        path = root / name
        if not path.exists():
            torch.manual_seed(7)
            for part in MAKERS[name]():
                part.save_pretrained(path)
        return path

    return folder


def gpt2():
    tokenizer = byte_tokenizer()
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.3,
    )
    return transformers.GPT2LMHeadModel(config), tokenizer


def t5():
    tokenizer = byte_tokenizer()
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=16,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        initializer_factor=1.0,
    )
    return transformers.T5ForConditionalGeneration(config), tokenizer


def classifier(**more):
    labels = {0: "bad", 1: "fair", 2: "good"}
    config = bert_config(id2label=labels, label2id={v: k for k, v in labels.items()}, **more)
    return transformers.BertForSequenceClassification(config), bert_tokenizer()


def several():
    return classifier(problem_type="multi_label_classification")


def inference():
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    config = bert_config(id2label=labels, label2id={v: k for k, v in labels.items()})
    return transformers.BertForSequenceClassification(config), bert_tokenizer()


def encoder():
    return transformers.BertModel(bert_config()), bert_tokenizer()


def nllb():
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["eng_Latn", "deu_Latn"]})
    config = transformers.M2M100Config(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
        init_std=0.5,
    )
    return transformers.M2M100ForConditionalGeneration(config), tokenizer


def ctc():
    import tempfile
    from pathlib import Path

    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    with tempfile.TemporaryDirectory() as place:
        letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGH"]
        vocabulary = Path(place) / "vocab.json"
        vocabulary.write_text(json.dumps({one: at for at, one in enumerate(letters)}))
        tokenizer = Wav2Vec2CTCTokenizer(str(vocabulary))
    config = transformers.Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16, 16),
        conv_kernel=(10, 8),
        conv_stride=(20, 16),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        initializer_range=1.0,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    processor = Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)
    return transformers.Wav2Vec2ForCTC(config), processor


def vit():
    labels = {0: "cat", 1: "dog", 2: "bird"}
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        id2label=labels,
        label2id={v: k for k, v in labels.items()},
        initializer_range=0.5,
    )
    processor = transformers.AutoImageProcessor  # the class is chosen by the config
    del processor
    return transformers.ViTForImageClassification(config), image_processor("ViTImageProcessor", 32)


def yolos():
    labels = {0: "cat", 1: "dog", 2: "bird"}
    config = transformers.YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=[32, 48],
        patch_size=8,
        num_detection_tokens=12,
        id2label=labels,
        label2id={v: k for k, v in labels.items()},
        initializer_range=1.0,
    )
    return transformers.YolosForObjectDetection(config), image_processor("YolosImageProcessor", 32)


def image_processor(name, side):
    for ending in ("Pil", ""):
        cls = getattr(transformers, name + ending, None)
        if cls is not None:
            break
    size = {"height": side, "width": side}
    if name.startswith("Yolos"):
        size = {"shortest_edge": side, "longest_edge": 48}
    return cls(size=size)


MAKERS = {
    "gpt2": gpt2,
    "t5": t5,
    "classifier": classifier,
    "several": several,
    "inference": inference,
    "encoder": encoder,
    "nllb": nllb,
    "ctc": ctc,
    "vit": vit,
    "yolos": yolos,
}


@pytest.fixture(scope="session")
def engines(folders):
    """A function: the engine over a model by name, made once."""
    made = {}

    def engine(name):
        if name not in made:
            path = folders(name)
            made[name] = TransformersEngine(
                ModelRef(name=f"transformers/./{name}", engine="transformers", folder=path)
            )
        return made[name]

    yield engine
    for one in made.values():
        one.close()


def write(engine, prompt=PROMPT, **options):
    return engine.generate(GenerateRequest(prompt=prompt, **options))


CAN = {
    "gpt2": {"generate"},
    "t5": {"generate", "translate"},
    "classifier": {"classify"},
    "encoder": {"embed"},
    "nllb": {"translate"},
    "ctc": {"transcribe"},
    "vit": {"see"},
    "yolos": {"see"},
}


@pytest.mark.parametrize("name", CAN)
def test_what_it_can_do_is_what_its_folder_holds(engines, name):
    assert engines(name).capabilities == CAN[name]


def test_the_class_itself_can_do_all_of_it():
    cls = registry.engine_class("transformers")
    assert cls is TransformersEngine
    assert cls.capabilities == frozenset().union(*CAN.values())
    assert cls.features == {"objects", "labels"}
    assert not registry.missing_modules(cls)


class TestGenerate:
    def test_greedy_text_is_the_text_transformers_writes(self, engines, folders):
        network, tokenizer = (
            transformers.GPT2LMHeadModel.from_pretrained(folders("gpt2")),
            transformers.AutoTokenizer.from_pretrained(folders("gpt2")),
        )
        inputs = tokenizer(PROMPT, return_tensors="pt")
        whole = network.generate(**inputs, do_sample=False, max_new_tokens=20, pad_token_id=0)[0]
        spent = inputs.input_ids.shape[1]
        ours = write(engines("gpt2"), max_tokens=20, temperature=0)
        assert ours.text == tokenizer.decode(whole[spent:], skip_special_tokens=True)
        assert ours.units.input_tokens == spent

    @pytest.mark.parametrize("name", ["gpt2", "t5"])
    def test_the_same_seed_gives_the_same_text_and_no_seed_another(self, engines, name):
        engine = engines(name)
        first, second = (write(engine, seed=3, n=2, max_tokens=8).texts for _ in range(2))
        assert first == second and first[0] != first[1]
        assert len({write(engine, max_tokens=8).text for _ in range(4)}) > 1

    def test_callers_at_once_do_not_change_each_other(self, engines):
        engine = engines("gpt2")
        alone = [write(engine, seed=seed, max_tokens=8).text for seed in range(4)]
        with ThreadPoolExecutor(8) as pool:
            together = list(
                pool.map(lambda at: write(engine, seed=at % 4, max_tokens=8).text, range(16))
            )
        assert together == alone * 4
        assert len(set(alone)) == 4

    def test_torchs_own_generator_stays_as_it_was(self, engines):
        before = torch.get_rng_state()
        write(engines("gpt2"), max_tokens=4)
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("name", ["gpt2", "t5"])
    def test_the_stream_adds_up_to_the_whole(self, engines, name):
        request = GenerateRequest(prompt=PROMPT, seed=3, n=3, max_tokens=9)
        *deltas, last = engines(name).generate_stream(request)
        assert isinstance(last, GenerateResult) and all(isinstance(d, TextDelta) for d in deltas)
        for index, text in enumerate(last.texts):
            assert "".join(one.text for one in deltas if one.index == index) == text
        assert engines(name).generate(request) == last

    def test_a_stop_string_cuts_and_is_never_sent(self, engines):
        free = write(engines("gpt2"), seed=3, max_tokens=12).text
        stop = free[len(free) // 2 :][:3]
        request = GenerateRequest(prompt=PROMPT, seed=3, max_tokens=12, stop=(stop,))
        *deltas, last = engines("gpt2").generate_stream(request)
        assert last.text == free[: free.index(stop)] == "".join(one.text for one in deltas)
        assert last.choices[0].finish_reason == "stop"

    def test_top_k_one_and_top_p_nought_are_greedy(self, engines):
        greedy = write(engines("gpt2"), temperature=0, max_tokens=8).text
        assert write(engines("gpt2"), top_k=1, max_tokens=8).text == greedy
        assert write(engines("gpt2"), top_p=0, max_tokens=8).text == greedy

    def test_top_k_keeps_to_the_likeliest_tokens(self, engines, folders):
        network = transformers.GPT2LMHeadModel.from_pretrained(folders("gpt2"))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folders("gpt2"))
        ids = tokenizer(PROMPT, return_tensors="pt").input_ids
        with torch.no_grad():
            best = network(ids).logits[0, -1].topk(3).indices.tolist()
        allowed = {tokenizer.decode([one], skip_special_tokens=True) for one in best}
        firsts = {write(engines("gpt2"), seed=at, top_k=3, max_tokens=1).text for at in range(30)}
        assert firsts <= allowed and len(firsts) > 1

    def test_a_penalty_changes_what_comes_again(self, engines):
        plain = write(engines("gpt2"), temperature=0, max_tokens=20).text
        assert write(
            engines("gpt2"), temperature=0, max_tokens=20, repetition_penalty=5.0
        ).text != (plain)

    def test_limits_are_kept_and_told(self, engines):
        engine = engines("gpt2")
        spent = write(engine, max_tokens=1).units.input_tokens
        assert write(engine, max_tokens=5, seed=1).units.output_tokens <= 5
        assert write(engine, max_length=spent + 3, temperature=0).units.output_tokens <= 3
        with pytest.raises(InvalidRequestError, match="max_length"):
            write(engine, max_length=spent)
        with pytest.raises(TooLargeError, match="64"):
            write(engine, prompt="zqx " * 80)

    def test_messages_without_a_template_are_their_lines(self, engines):
        engine = engines("gpt2")
        messages = (Message(role="user", content="the fox"), Message(role="user", content="a"))
        told = engine.generate(GenerateRequest(messages=messages, temperature=0, max_tokens=6))
        assert told.text == write(engine, "the fox\na\n", temperature=0, max_tokens=6).text

    def test_messages_go_through_the_models_own_template(self, folders, tmp_path):
        shutil.copytree(folders("gpt2"), tmp_path / "chat")
        template = "{% for m in messages %}[{{ m.content }}]{% endfor %}!"
        (tmp_path / "chat" / "chat_template.jinja").write_text(template)
        engine = TransformersEngine(
            ModelRef(name="chat", engine="transformers", folder=tmp_path / "chat")
        )
        messages = (Message(role="user", content="the fox"),)
        told = engine.generate(GenerateRequest(messages=messages, temperature=0, max_tokens=6))
        assert told.text == write(engine, "[the fox]!", temperature=0, max_tokens=6).text
        engine.close()

    def test_leaving_a_stream_early_leaves_the_engine_usable(self, engines):
        stream = engines("gpt2").generate_stream(GenerateRequest(prompt=PROMPT, max_tokens=40))
        next(stream)
        stream.close()
        assert write(engines("gpt2"), max_tokens=2).units.output_tokens

    def test_a_caller_who_leaves_stops_the_work(self, engines):
        def work():
            gone = threading.Event()
            gone.set()
            cancellable(gone)
            write(engines("gpt2"))

        with ThreadPoolExecutor(1) as pool, pytest.raises(CancelledWork):
            pool.submit(work).result()


class TestClassify:
    def test_scores_are_those_of_transformers(self, engines, folders):
        network = transformers.BertForSequenceClassification.from_pretrained(folders("classifier"))
        tokenizer = bert_tokenizer()
        texts = ("the old fox", "a small bird and the child slept", "fox")
        result = engines("classifier").classify(ClassifyRequest(texts=texts))
        for text, item in zip(texts, result.classifications, strict=True):
            with torch.no_grad():
                wanted = network(**tokenizer(text, return_tensors="pt")).logits[0].softmax(-1)
            by_name = {one.label: one.score for one in item.scores}
            assert [by_name[one] for one in ("bad", "fair", "good")] == pytest.approx(
                wanted.tolist(), abs=1e-4
            )
            scores = [one.score for one in item.scores]
            assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1)
        assert result.units.input_tokens == sum(len(tokenizer(one).input_ids) for one in texts)

    def test_a_part_of_its_labels_shares_one(self, engines):
        request = ClassifyRequest(texts=("the fox",), labels=("good", "bad"))
        scores = engines("classifier").classify(request).classifications[0].scores
        assert {one.label for one in scores} == {"good", "bad"}
        assert sum(one.score for one in scores) == pytest.approx(1)

    def test_labels_it_has_not_are_refused(self, engines):
        with pytest.raises(UnsupportedOptionError, match="no label 'sport'"):
            engines("classifier").classify(
                ClassifyRequest(texts=("the fox",), labels=("sport", "good"))
            )
        with pytest.raises(UnsupportedOptionError, match="choose one"):
            engines("classifier").classify(ClassifyRequest(texts=("the fox",), multi_label=True))

    def test_a_model_of_several_labels_scores_each_alone(self, engines, folders):
        network = transformers.BertForSequenceClassification.from_pretrained(folders("several"))
        with torch.no_grad():
            given = bert_tokenizer()("the fox", return_tensors="pt")
            wanted = network(**given).logits[0].sigmoid()
        item = engines("several").classify(ClassifyRequest(texts=("the fox",))).classifications[0]
        assert sorted(one.score for one in item.scores) == pytest.approx(
            sorted(wanted.tolist()), abs=1e-4
        )

    def test_a_model_of_inference_takes_labels_of_the_callers_own(self, engines):
        request = ClassifyRequest(texts=("the fox", "a bird"), labels=("small", "old", "child"))
        result = engines("inference").classify(request)
        for item in result.classifications:
            assert {one.label for one in item.scores} == set(request.labels)
            assert sum(one.score for one in item.scores) == pytest.approx(1)
        swapped = ClassifyRequest(texts=("the fox",), labels=("child", "old", "small"))
        again = engines("inference").classify(swapped).classifications[0].scores
        for one, two in zip(again, result.classifications[0].scores, strict=True):
            assert (one.label, one.score) == (two.label, pytest.approx(two.score, abs=1e-5))


class TestEmbed:
    @pytest.mark.parametrize("way", ["mean", "cls", "max"])
    def test_vectors_are_pooled_as_the_folder_says(self, folders, tmp_path, way):
        shutil.copytree(folders("encoder"), tmp_path / "one")
        if way != "mean":
            (tmp_path / "one" / "1_Pooling").mkdir()
            told = {f"pooling_mode_{'cls_token' if way == 'cls' else 'max_tokens'}": True}
            (tmp_path / "one" / "1_Pooling" / "config.json").write_text(json.dumps(told))
        engine = TransformersEngine(
            ModelRef(name="one", engine="transformers", folder=tmp_path / "one")
        )
        texts = ("the old fox", "a small bird and the child slept while")
        ours = np.asarray(engine.embed(EmbedRequest(texts=texts)).vectors)
        network = transformers.BertModel.from_pretrained(folders("encoder"))
        for text, row in zip(texts, ours, strict=True):
            with torch.no_grad():
                states = network(**bert_tokenizer()(text, return_tensors="pt")).last_hidden_state[0]
            wanted = {"mean": states.mean(0), "cls": states[0], "max": states.amax(0)}[way]
            assert row == pytest.approx((wanted / wanted.norm()).numpy(), abs=1e-5)
        engine.close()

    def test_dimensions_and_long_texts(self, engines):
        result = engines("encoder").embed(EmbedRequest(texts=("fox " * 500, "bird"), dimensions=8))
        assert result.vectors.dimensions == 8
        assert np.allclose(np.linalg.norm(np.asarray(result.vectors), axis=1), 1, atol=1e-5)
        with pytest.raises(UnsupportedOptionError, match="32 dimensions"):
            engines("encoder").embed(EmbedRequest(texts=("fox",), dimensions=33))


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


class TestFolders:
    def engine(self, folder):
        return TransformersEngine(ModelRef(name="x", engine="transformers", folder=folder))

    def test_no_folder_is_told(self, tmp_path):
        for folder in (None, tmp_path / "gone"):
            engine = self.engine(folder)
            assert engine.capabilities == TransformersEngine.capabilities
            with pytest.raises(NotConfiguredError):
                write(engine)

    def test_a_pickle_is_not_loaded(self, folders, tmp_path):
        shutil.copytree(folders("gpt2"), tmp_path / "one")
        (tmp_path / "one" / "model.safetensors").rename(tmp_path / "one" / "pytorch_model.bin")
        with pytest.raises(ConfigurationError, match="safetensors"):
            write(self.engine(tmp_path / "one"))

    def test_code_in_the_folder_is_not_run(self, folders, tmp_path):
        shutil.copytree(folders("gpt2"), tmp_path / "one")
        config = json.loads((tmp_path / "one" / "config.json").read_text())
        config |= {"auto_map": {"AutoModelForCausalLM": "evil.Evil"}, "model_type": "evil"}
        (tmp_path / "one" / "config.json").write_text(json.dumps(config))
        (tmp_path / "one" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        with pytest.raises(OgamError):
            write(self.engine(tmp_path / "one"))
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
    def test_damage_is_one_line(self, folders, tmp_path, name):
        shutil.copytree(folders("gpt2"), tmp_path / "one")
        (tmp_path / "one" / name).write_bytes(b"\x00{broken")
        with pytest.raises(ConfigurationError) as caught:
            write(self.engine(tmp_path / "one"))
        assert "\n" not in str(caught.value)

    def test_a_kind_that_is_not_served_is_named(self, folders, tmp_path):
        shutil.copytree(folders("gpt2"), tmp_path / "one")
        config = json.loads((tmp_path / "one" / "config.json").read_text())
        config["architectures"] = ["SomethingForMusic"]
        (tmp_path / "one" / "config.json").write_text(json.dumps(config))
        with pytest.raises(ConfigurationError, match="SomethingForMusic"):
            write(self.engine(tmp_path / "one"))

    def test_a_head_that_was_never_trained_is_refused(self, folders, tmp_path):
        shutil.copytree(folders("encoder"), tmp_path / "one")
        config = json.loads((tmp_path / "one" / "config.json").read_text())
        config["architectures"] = ["BertForSequenceClassification"]
        (tmp_path / "one" / "config.json").write_text(json.dumps(config))
        with pytest.raises(OgamError, match=r"classifier"):
            self.engine(tmp_path / "one").classify(ClassifyRequest(texts=("the fox",)))

    def test_asking_what_it_can_do_loads_nothing(self, folders):
        engine = self.engine(folders("gpt2"))
        assert engine.capabilities == {"generate"}
        assert not engine._loaded
        engine.close()
        engine.close()

    def test_no_two_kinds_fit_by_chance(self):
        assert loading._found({"architectures": ["WhisperForConditionalGeneration"]}) is None
        whisper = {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}
        assert loading._found(whisper).capabilities == {"transcribe"}
