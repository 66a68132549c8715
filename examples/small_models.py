"""The small models that the examples work on, made here in seconds and kept in out/examples.

They stand where GPT-2, roberta-base and bert-base-uncased stand when there is a network: the
same architectures and file formats, a thousandth of the size, and hardly any knowledge.

예제에 쓰는 작은 모델을 몇 초 만에 직접 만듭니다. GPT-2, roberta-base, bert-base-uncased와
구조와 파일 형식은 같지만 크기는 천분의 일쯤이고 아는 것은 거의 없습니다. 진짜 모델을 쓰려면
예제에 --model을 주세요.
"""

import argparse
import itertools
import shutil
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from ogam.models import store
from ogam.models.pull import Request, pull
from ogam.training import classifier, language_model

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
ROOT = Path(__file__).resolve().parent.parent
FABLES = ROOT / "samples" / "text" / "fables.txt"
NAMES = {"bert": "BertModel", "roberta": "RobertaForMaskedLM"}


def options(text: str, real: str = "") -> argparse.Namespace:
    """What the examples take: --model for the real thing, --out for where to keep what is made."""
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "examples")
    if real:
        parser.add_argument("--model", help=f"such as {real}, or a folder; without it a small one")
    found = parser.parse_args()
    found.out.mkdir(parents=True, exist_ok=True)
    if getattr(found, "model", None) is None:
        torch.set_num_threads(1)  # in models this small more threads wait for one another
    return found


def fetch(source: str) -> Path:
    """The folder of a model of the hub, as it was published; needs a network once."""
    return store.local_folder() / pull(Request(source=source, as_is=True)).removeprefix("local/")


def clauses() -> dict[str, list[str]]:
    """Short sentences about liking and disliking."""
    things = ("him", "her", "the film", "the soup", "my friend", "the song", "this book")
    verbs = {"POSITIVE": ("love", "like", "enjoy"), "NEGATIVE": ("hate", "fear", "dislike")}
    moods = {"POSITIVE": ("happy", "glad", "proud"), "NEGATIVE": ("sad", "angry", "tired")}
    return {
        label: [f"I {verb} {thing}." for verb in verbs[label] for thing in things]
        + [f"they {verb} me." for verb in verbs[label]]
        + [f"{one} {mood}." for one in ("I'm so", "we are", "she is very") for mood in moods[label]]
        for label in verbs
    }


def reviews(out: Path) -> Path:
    """A table of sentences and their labels: what stands after "but" decides."""
    good, bad = clauses().values()
    rows = [(text, "POSITIVE") for text in good] + [(text, "NEGATIVE") for text in bad]
    for one, other in itertools.product(good[::3], bad[::3]):
        rows += [(f"{one} But {other}", "NEGATIVE"), (f"{other} But {one}", "POSITIVE")]
    path = out / "reviews.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    return path


def encoder(out: Path, kind: str = "bert", layers: int = 2) -> Path:
    """A folder as the hub has them, of BERT's or RoBERTa's kind: random weights, no task head."""
    folder = out / f"small-{kind}-{layers}"
    if (folder / "model.safetensors").is_file():
        return folder
    special = ["[UNK]", "<pad>", "[CLS]", "[SEP]", "[MASK]"]  # RoBERTa's padding is token 1
    own = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    own.normalizer = normalizers.BertNormalizer()
    own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fables = FABLES.read_text(encoding="utf-8").splitlines()
    texts = [*itertools.chain(*clauses().values()), "But", *fables]
    own.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(vocab_size=600, special_tokens=special, show_progress=False),
    )
    own.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"unk": 0, "pad": 1, "cls": 2, "sep": 3, "mask": 4}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=own,
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": special[index] for name, index in names.items()},
    ).save_pretrained(folder)
    torch.manual_seed(1)
    network = getattr(transformers, NAMES[kind])
    config = network.config_class(
        vocab_size=own.get_vocab_size(),
        hidden_size=64,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=80,
        initializer_range=0.05,
        pad_token_id=1,
    )
    network(config).save_pretrained(folder)
    return folder


def writer(out: Path) -> str:
    """The name of a language model of GPT-2's architecture that has read 60 KB of fables."""
    run = out / "writer"
    if not (run / "model" / "model.json").is_file():
        settings = language_model.Settings(
            files=(str(FABLES),), vocabulary=2000, d_model=64, layers=1, heads=2, context=48,
            batch=8, steps=160, learning_rate=8e-3, warmup=15, dropout=0, threads=1,
        )  # fmt: skip
        shutil.rmtree(run, ignore_errors=True)  # what was stopped half-way
        language_model.train(run, settings)
    return f"ctranslate2_generator/{(run / 'model').resolve()}"


def fine_tuned(out: Path, folder: Path) -> Path:
    """The run that fine-tuned an encoder on the reviews; RUN/model is served."""
    run = out / f"{folder.name}-reviews"
    if not (run / "model" / "model.json").is_file():
        # Random weights may move fast; what others have trained should not be lost.
        rate = 1.5e-3 if folder.name.startswith("small-") else 5e-5
        settings = classifier.Settings(epochs=6, batch_size=16, learning_rate=rate, max_tokens=32)
        shutil.rmtree(run, ignore_errors=True)
        classifier.train(classifier.Source(reviews(out)), folder, run, settings=settings)
    return run
