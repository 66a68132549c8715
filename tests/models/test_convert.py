"""Tiny random checkpoints, converted once, answer through Ogam as transformers answers."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnx")

import torch
import transformers as hf
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import ModelRef
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest
from ogam.capabilities.text_generation import GenerateRequest
from ogam.capabilities.translation import TranslateRequest
from ogam.engines import ctranslate2_translator
from ogam.engines.ctranslate2_generator import CTranslate2GeneratorEngine
from ogam.engines.ctranslate2_translator import CTranslate2TranslatorEngine
from ogam.engines.onnx_classifier import OnnxClassifierEngine
from ogam.engines.onnx_encoder import OnnxEncoderEngine
from ogam.errors import (
    ConfigurationError,
    InvalidRequestError,
    UnsupportedOptionError,
    UntrainedHeadError,
)
from ogam.models import convert_ctranslate2
from ogam.models.convert import convert
from ogam.models.language_tags import tags

WORDS = (
    *("the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "table", "and", "then", "it"),
    *("was", "red", "green", "warm", "cold", "old", "new", "one", "two", "three", "four", "five"),
    *("six", "seven"),  # 32 with the marks: the converter fills OPT's up to a multiple of 8
)
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = ("the cat sat on the mat", "a dog", "it was cold and then it was warm and red " * 3, "old")
WIDTHS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "vocab_size": len(MARKS) + len(WORDS),
}
PAIR = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def save_tokenizer(folder, *, marks=True, types=False):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {word: number for number, word in enumerate([*MARKS, *WORDS])}
    own = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    own.normalizer = normalizers.BertNormalizer()
    own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if marks:
        own.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    whole = hf.PreTrainedTokenizerFast(
        tokenizer_object=own, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", eos_token="[SEP]", model_input_names=names,
    )  # fmt: skip
    whole.save_pretrained(folder)
    return whole


def checkpoint(folder, kind, config, **more):
    torch.manual_seed(3)
    model = getattr(hf, kind)(config).eval()
    with torch.no_grad():  # far from zero, so that answers differ
        for one in model.parameters():
            if one.dim() > 1:
                one.mul_(3)
    model.save_pretrained(folder)
    return model, save_tokenizer(folder, **more)


def engine(cls, folder):
    return cls(ModelRef(name="x/y", engine="x", folder=folder))


def bert(**more):
    return hf.BertConfig(**WIDTHS, **more)


def manifest(folder):
    return json.loads((folder / "model.json").read_text())


def pooled(model, tokenizer, text, how):
    """What transformers makes of one text alone."""
    with torch.inference_mode():
        rows = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
    row = {"mean": rows.mean(0), "cls": rows[0], "max": rows.amax(0)}[how]
    return (row / row.norm()).numpy()


ENCODERS = {
    "albert": lambda: hf.AlbertConfig(embedding_size=16, **WIDTHS),
    "bert": bert,
    "camembert": lambda: hf.CamembertConfig(**WIDTHS),
    "distilbert": lambda: hf.DistilBertConfig(
        vocab_size=len(MARKS) + len(WORDS), dim=32, n_layers=2, n_heads=2, hidden_dim=64
    ),
    "electra": lambda: hf.ElectraConfig(embedding_size=16, **WIDTHS),
    "mpnet": lambda: hf.MPNetConfig(**WIDTHS),
    "roberta": lambda: hf.RobertaConfig(**WIDTHS),
    "xlm-roberta": lambda: hf.XLMRobertaConfig(**WIDTHS),
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoders_vectors_are_those_of_transformers(kind, tmp_path):
    config = ENCODERS[kind]()
    name = {"xlm-roberta": "XLMRobertaModel", "mpnet": "MPNetModel"}.get(
        kind, type(config).__name__.replace("Config", "Model")
    )
    model, tokenizer = checkpoint(tmp_path / "in", name, config)
    made = convert(tmp_path / "in", tmp_path / "out", capability="embed")
    assert (made.engine, made.capabilities) == ("onnx_encoder", ("embed", "classify"))
    encoder = engine(OnnxEncoderEngine, tmp_path / "out")
    found = np.asarray(encoder.embed(EmbedRequest(texts=TEXTS)).vectors)
    encoder.close()
    right = np.stack([pooled(model, tokenizer, text, "mean") for text in TEXTS])
    assert np.abs(found - right).max() < 1e-4
    assert np.abs(found @ found.T - right @ right.T).max() < 1e-4  # the cosines
    assert not np.allclose(right[0], right[1], atol=1e-2)


def with_modules(folder, pooling, *more):
    kinds = [
        "sentence_transformers.models.Transformer",
        "sentence_transformers.models.Pooling",
        *more,
    ]
    modules = [
        {"idx": n, "name": str(n), "path": "1_Pooling" if n == 1 else "", "type": kind}
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


@pytest.mark.parametrize(
    ("pooling", "how"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "cls", "include_prompt": True}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
    ],
)
def test_the_pooling_is_the_one_that_its_maker_says(pooling, how, tmp_path):
    model, tokenizer = checkpoint(tmp_path / "in", "BertModel", bert())
    with_modules(tmp_path / "in", pooling, "sentence_transformers.models.Normalize")
    (tmp_path / "in" / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    convert(tmp_path / "in", tmp_path / "out")  # modules.json says what it is for
    about = manifest(tmp_path / "out")
    assert (about["pooling"], about["max_tokens"], about["dimensions"]) == (how, 12, 32)
    encoder = engine(OnnxEncoderEngine, tmp_path / "out")
    result = encoder.embed(EmbedRequest(texts=TEXTS[:2]))
    right = np.stack([pooled(model, tokenizer, text, how) for text in TEXTS[:2]])
    assert np.abs(np.asarray(result.vectors) - right).max() < 1e-4
    assert encoder.embed(EmbedRequest(texts=("cat " * 99,))).units.input_tokens == 12
    encoder.close()


@pytest.mark.parametrize(
    ("pooling", "more", "match"),
    [
        ({"pooling_mode_lasttoken": True}, (), "pools by lasttoken"),
        ({"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, (), "by cls, max"),
        ({"pooling_mode": "mean"}, ("sentence_transformers.models.Dense",), "not converted: Dense"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_faithfully_is_refused(pooling, more, match, tmp_path):
    checkpoint(tmp_path / "in", "BertModel", bert())
    with_modules(tmp_path / "in", pooling, *more)
    with pytest.raises(UnsupportedOptionError, match=match):
        convert(tmp_path / "in", tmp_path / "out")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in"]


LABELS = {"id2label": {0: "no", 1: "maybe", 2: "yes"}, "label2id": {"no": 0, "maybe": 1, "yes": 2}}


@pytest.mark.parametrize("quantize", [None, "int8"])
@pytest.mark.parametrize("types", [True, False])
def test_a_classifiers_scores_are_those_of_transformers(quantize, types, tmp_path):
    config, kind = (bert(**LABELS), "BertForSequenceClassification") if types else (
        hf.RobertaConfig(**WIDTHS, **LABELS), "RobertaForSequenceClassification")  # fmt: skip
    model, tokenizer = checkpoint(tmp_path / "in", kind, config, types=types)
    made = convert(tmp_path / "in", tmp_path / "out", quantize=quantize)
    assert (made.engine, made.capabilities) == ("onnx_classifier", ("classify",))
    classifier = engine(OnnxClassifierEngine, tmp_path / "out")
    found = classifier.classify(ClassifyRequest(texts=TEXTS)).classifications
    classifier.close()
    for text, own in zip(TEXTS, found, strict=True):
        with torch.inference_mode():
            right = model(**tokenizer(text, return_tensors="pt")).logits.softmax(1)[0].tolist()
        scores = {one.label: one.score for one in own.scores}
        assert [scores[one] for one in ("no", "maybe", "yes")] == pytest.approx(
            right, abs=0.1 if quantize else 1e-4
        )


def test_int8_makes_an_encoder_smaller_and_stays_close(tmp_path):
    wide = {**WIDTHS, "hidden_size": 128, "intermediate_size": 512}
    model, tokenizer = checkpoint(tmp_path / "in", "BertModel", hf.BertConfig(**wide))
    made = convert(tmp_path / "in", tmp_path / "out", capability="embed", quantize="int8")
    assert made.after < 0.4 * made.before
    encoder = engine(OnnxEncoderEngine, tmp_path / "out")
    found = np.asarray(encoder.embed(EmbedRequest(texts=TEXTS)).vectors)
    encoder.close()
    right = np.stack([pooled(model, tokenizer, text, "mean") for text in TEXTS])
    assert (found * right).sum(1).min() > 0.95


@pytest.mark.parametrize("kind", ["gpt2", "opt", "bloom", "llama", "gptj"])
def test_a_language_model_writes_what_transformers_writes(kind, tmp_path):
    size = len(MARKS) + len(WORDS)
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    one = {"vocab_size": size, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    opt = {"ffn_dim": 64, "word_embed_proj_dim": 32}
    name, make = {
        "gpt2": ("GPT2LMHeadModel", lambda: hf.GPT2Config(**one, **ends)),
        "opt": ("OPTForCausalLM", lambda: hf.OPTConfig(**WIDTHS, **opt, **ends)),
        "bloom": (
            "BloomForCausalLM",
            lambda: hf.BloomConfig(vocab_size=size, hidden_size=32, n_layer=2, n_head=2, **ends),
        ),
        "llama": (
            "LlamaForCausalLM",
            lambda: hf.LlamaConfig(num_key_value_heads=1, **WIDTHS, **ends),
        ),
        "gptj": ("GPTJForCausalLM", lambda: hf.GPTJConfig(rotary_dim=8, **one, **ends)),
    }[kind]
    config = make()
    model, tokenizer = checkpoint(tmp_path / "in", name, config, marks=False)
    made = convert(tmp_path / "in", tmp_path / "out")
    assert (made.engine, made.capabilities) == ("ctranslate2_generator", ("generate",))
    about = manifest(tmp_path / "out")
    assert about["context"] == (2048 if kind == "bloom" else 64) and about["end"] == "[SEP]"
    writer = engine(CTranslate2GeneratorEngine, tmp_path / "out")
    given_ = tokenizer("the cat sat", return_tensors="pt")
    wanted = model.generate(
        given_["input_ids"],
        attention_mask=given_["attention_mask"],
        do_sample=False,
        max_new_tokens=8,
    )[0, given_["input_ids"].shape[1] :]
    result = writer.generate(GenerateRequest(prompt="the cat sat", temperature=0, max_tokens=8))
    writer.close()
    assert result.text.split() == tokenizer.decode(wanted, skip_special_tokens=True).split()
    assert result.text


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Two SentencePiece models, and the pieces of both."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("pieces")
    for name, words in (("source", WORDS), ("target", [word[::-1] for word in WORDS])):
        text = folder / f"{name}.txt"
        text.write_text("\n".join(" ".join([*words[i:], *words[:i]]) for i in range(len(words))))
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=str(folder / name), vocab_size=40, hard_vocab_limit=False,
            minloglevel=2,
        )  # fmt: skip
    both = []
    for name in ("source", "target"):
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.model"))
        both += [model.id_to_piece(number) for number in range(model.get_piece_size())]
    return folder, list(dict.fromkeys(one for one in both if not one.startswith("<")))


def marian(folder, pieces, codes=(), **settings):
    where, words = pieces
    folder.mkdir()
    vocabulary = ["</s>", "<unk>", *(f">>{code}<<" for code in codes), *words, "<pad>"]
    ids = {word: number for number, word in enumerate(vocabulary)}
    for name in ("source", "target"):
        (folder / f"{name}.spm").write_bytes((where / f"{name}.model").read_bytes())
    (folder / "vocab.json").write_text(json.dumps(ids))
    told = {"tokenizer_class": "MarianTokenizer", "model_max_length": 64, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    last = len(ids) - 1
    config = hf.MarianConfig(
        vocab_size=len(ids), max_position_embeddings=64, pad_token_id=last, eos_token_id=0,
        decoder_start_token_id=last, forced_eos_token_id=None, **PAIR,
    )  # fmt: skip
    torch.manual_seed(1)
    model = hf.MarianMTModel(config).eval()
    with torch.no_grad():
        for name, one in model.named_parameters():
            if one.dim() > 1 and "embed_positions" not in name:
                one.normal_(std=0.5)
        model.final_logits_bias.zero_()
    model.save_pretrained(folder)
    return model


def by_transformers(model, tokenizer, text, **more):
    given_ = tokenizer(text, return_tensors="pt")
    made = model.generate(
        **given_, num_beams=1, do_sample=False, max_new_tokens=10, bad_words_ids=None, **more
    )
    return tokenizer.decode(made[0], skip_special_tokens=True)


def first_words(text, other):
    """What both say, as far as the shorter one goes: their limits on length differ."""
    length = min(len(text), len(other))
    return text[:length], other[:length]


@pytest.mark.filterwarnings("ignore:Recommended")
def test_a_marian_model_translates_as_in_transformers(pieces, tmp_path, monkeypatch):
    model = marian(tmp_path / "in", pieces, source_lang="eng", target_lang="deu")
    made = convert(tmp_path / "in", tmp_path / "out")
    assert (made.engine, made.capabilities) == ("ctranslate2_translator", ("translate",))
    assert manifest(tmp_path / "out")["languages"] == [["en", "de"]]
    monkeypatch.setattr(ctranslate2_translator.model, "BEAM", 1)
    translator = engine(CTranslate2TranslatorEngine, tmp_path / "out")
    tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path / "in")
    for text in ("the cat sat on the mat", "a red dog ran"):
        (found,) = translator.translate(TranslateRequest(texts=(text,), target="de")).texts
        one, other = first_words(found, by_transformers(model, tokenizer, text))
        assert one and one == other
    translator.close()


@pytest.mark.filterwarnings("ignore:Recommended")
def test_a_marian_model_of_several_targets_is_told_which(pieces, tmp_path):
    marian(tmp_path / "in", pieces, ("deu", "fra"), source_lang="en", target_lang="gem")
    convert(tmp_path / "in", tmp_path / "out")
    about = manifest(tmp_path / "out")
    assert about["languages"] == [["en", "de"], ["en", "fr"]]
    assert about["target_tokens"] == {"de": ">>deu<<", "fr": ">>fra<<"}
    translator = engine(CTranslate2TranslatorEngine, tmp_path / "out")
    texts = {
        to: translator.translate(TranslateRequest(texts=("the cat sat",), target=to)).text
        for to in ("de", "fr")
    }
    translator.close()
    assert texts["de"] != texts["fr"]


def test_a_model_between_many_languages_is_told_both(pieces, tmp_path, monkeypatch):
    where, words = pieces
    folder = tmp_path / "in"
    folder.mkdir()
    ids = {word: n for n, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words])}
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "sentencepiece.bpe.model").write_bytes((where / "source.model").read_bytes())
    tokenizer = hf.M2M100Tokenizer(
        folder / "vocab.json", folder / "sentencepiece.bpe.model", src_lang="en", tgt_lang="de"
    )
    tokenizer.save_pretrained(folder)
    size = len(tokenizer.get_vocab() | tokenizer.lang_token_to_id) + tokenizer.num_madeup_words
    torch.manual_seed(1)
    config = hf.M2M100Config(vocab_size=size, max_position_embeddings=64, **PAIR)
    model = hf.M2M100ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for one in model.parameters():
            if one.dim() > 1:
                one.normal_(std=0.5)
    model.save_pretrained(folder)
    made = convert(folder, tmp_path / "out", capability="translate")
    assert made.engine == "ctranslate2_translator"
    about = manifest(tmp_path / "out")
    assert about["source_tokens"]["en"] == "__en__" and len(about["between"]) > 90
    monkeypatch.setattr(ctranslate2_translator.model, "BEAM", 1)
    translator = engine(CTranslate2TranslatorEngine, tmp_path / "out")
    tokenizer = hf.AutoTokenizer.from_pretrained(folder, src_lang="en")
    for target in ("de", "fr"):
        request = TranslateRequest(texts=("the cat sat",), source="en", target=target)
        one, other = first_words(
            translator.translate(request).text,
            by_transformers(
                model, tokenizer, "the cat sat", forced_bos_token_id=tokenizer.get_lang_id(target)
            ).removeprefix(f"__{target}__"),
        )
        assert one and one == other
    translator.close()


def test_languages_get_the_tags_that_people_write():
    found = tags(["eng_Latn", "zho_Hans", "zho_Hant", "ace_Arab", "ace_Latn", "de", "pt_BR"])
    assert list(found) == ["en", "zh", "zh-Hant", "ace", "ace-Latn", "de", "pt"]


@given(st.lists(st.from_regex(r"[a-z]{2,3}(_[A-Z][a-z]{3})?", fullmatch=True)))
def test_every_tag_means_one_of_the_codes(codes):
    found = tags(codes)
    assert set(found.values()) <= set(codes)
    assert bool(found) == bool(codes)


def whisper(folder):
    torch.manual_seed(1)
    extra = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|ko|>", "<|translate|>",
             "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>",
             "<|notimestamps|>"]  # fmt: skip
    tokenizer = save_tokenizer(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": extra})
    tokenizer.save_pretrained(folder)
    config = hf.WhisperConfig(
        vocab_size=len(tokenizer) + 1501, max_source_positions=1500, max_target_positions=20,
        num_mel_bins=80, pad_token_id=0, bos_token_id=2, eos_token_id=3,
        decoder_start_token_id=4, suppress_tokens=None, begin_suppress_tokens=None, **PAIR,
    )  # fmt: skip
    hf.WhisperForConditionalGeneration(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"feature_size": 80}')


def test_whisper_becomes_a_model_of_ctranslate2_and_one_made_already_is_kept(tmp_path):
    import ctranslate2

    whisper(tmp_path / "in")
    made = convert(tmp_path / "in", tmp_path / "out", quantize="int8")
    assert (made.engine, made.capabilities) == ("whisper", ("transcribe",))
    assert made.after < 0.7 * made.before
    assert ctranslate2.models.Whisper(str(tmp_path / "out")).num_languages == 2
    names = {one.name for one in (tmp_path / "out").iterdir()}
    assert names >= {"tokenizer.json", "vocabulary.json", "preprocessor_config.json"}
    again = convert(tmp_path / "out", tmp_path / "again")
    assert again.engine == "whisper"
    files = manifest(tmp_path / "out")["files"]
    assert manifest(tmp_path / "again")["files"] == files


def test_what_no_engine_converts_is_left_as_it_is_for_transformers(tmp_path):
    folder = tmp_path / "in"
    config = hf.ViTConfig(image_size=16, patch_size=8, hidden_size=16, num_hidden_layers=1,
                          num_attention_heads=2, intermediate_size=32)  # fmt: skip
    hf.ViTForImageClassification(config).save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    made = convert(folder, tmp_path / "out")
    assert (made.engine, made.capabilities) == ("transformers", ("see",))
    kept = {one.name for one in (tmp_path / "out").iterdir()}
    assert kept == {"config.json", "model.safetensors", "model.json"}
    assert manifest(tmp_path / "out")["files"].keys() == kept - {"model.json"}
    with pytest.raises(UnsupportedOptionError, match="served as it is"):
        convert(folder, tmp_path / "small", quantize="int8")


def test_an_untrained_head_is_refused_or_marked(tmp_path):
    checkpoint(tmp_path / "in", "BertForMaskedLM", bert())
    with pytest.raises(UntrainedHeadError):
        convert(tmp_path / "in", tmp_path / "out", capability="classify")
    assert not (tmp_path / "out").exists()
    made = convert(tmp_path / "in", tmp_path / "out", capability="classify", allow_untrained=True)
    assert made.untrained and manifest(tmp_path / "out")["untrained"] is True
    whole = convert(tmp_path / "in", tmp_path / "embed", allow_untrained=True)
    assert whole.capabilities[0] == "embed"
    assert not whole.untrained and "untrained" not in manifest(tmp_path / "embed")


def test_a_failure_halfway_leaves_nothing(tmp_path, monkeypatch):
    config = hf.GPT2Config(vocab_size=WIDTHS["vocab_size"], n_embd=16, n_layer=1, n_head=2)
    checkpoint(tmp_path / "in", "GPT2LMHeadModel", config)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert_ctranslate2, "_save_tokenizer", full)
    with pytest.raises(Exception, match="No space left"):
        convert(tmp_path / "in", tmp_path / "out")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in"]


def test_wrong_use_is_one_line(tmp_path):
    checkpoint(tmp_path / "in", "BertForQuestionAnswering", bert())
    with pytest.raises(UnsupportedOptionError, match="does not say what it is for"):
        convert(tmp_path / "in", tmp_path / "out")
    with pytest.raises(UnsupportedOptionError, match="no quantization 'int3'"):
        convert(tmp_path / "in", tmp_path / "out", quantize="int3")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InvalidRequestError, match="holds something"):
        convert(tmp_path / "in", tmp_path / "full", capability="embed")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"config\.json is missing"):
        convert(tmp_path / "empty", tmp_path / "out")
