"""Tiny models of each kind, made as transformers itself makes them."""

import json
import random

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers  # noqa: E402

from ogam.capabilities.text_generation import GenerateRequest  # noqa: E402

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


def write(engine, prompt=PROMPT, **options):
    return engine.generate(GenerateRequest(prompt=prompt, **options))
