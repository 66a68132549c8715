"""A toy that a classifier learns in seconds: praise and blame, and a BERT to read them."""

import json
import os
import signal

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from ogam.training import classifier
from ogam.training.classifier import Source
from ogam.training.runs import Run, load_checkpoint

SUBJECTS = ("film", "soup", "day", "song", "book", "room")
GOOD, BAD = ("good", "fine", "lovely"), ("bad", "poor", "dull")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "was", "the", "very", *SUBJECTS, *GOOD, *BAD)


def encoder_in(folder, *, layers):
    """The folder of an encoder that has learnt nothing."""
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    words = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    return folder


def sentences():
    return [
        (f"{start} {subject} was {very}{word}", label)
        for start in ("a", "the")
        for subject in SUBJECTS
        for very in ("", "very ")
        for label, words in (("praise", GOOD), ("blame", BAD))
        for word in words
    ]


def write(path, rows, heading="text\tlabel"):
    path.write_text("\n".join([heading, *("\t".join(row) for row in rows)]) + "\n")
    return Source(path)


def losses(folder):
    """Every loss of the log, and the score of each validation."""
    history = Run.history(run_in(folder))
    return [(e["step"], e.get("loss"), e.get("valid_loss")) for e in history]


def run_in(folder):
    settings = json.loads((folder / "settings.json").read_text())["settings"]
    return Run(folder, settings, resume=True)


def weights(folder):
    return load_checkpoint(max((folder / "checkpoints").iterdir()))[0]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def interrupt(patch, *, before):
    """Press Ctrl-C before the step of that number, counted from 0."""
    real = classifier._Fit._step

    def interrupted(self, batch, number, total):
        if number == before:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, batch, number, total)

    patch.setattr(classifier._Fit, "_step", interrupted)
