"""Make ``starter/sentiment-ko``: a small encoder, from nothing, on Korean film reviews (NSMC).

    python recipes/sentiment_ko.py REVIEWS RUN            # train; stop by Ctrl-C
    python recipes/sentiment_ko.py REVIEWS RUN --resume   # go on
    python recipes/sentiment_ko.py RUN --check MODEL      # is MODEL what RUN exports?

REVIEWS is a TSV with the columns document and label (0 or 1). A fifth of the different texts is
set aside for validation; nothing here reads it but to score. First the encoder learns Korean
from the other reviews alone, by guessing tokens that are hidden from it (RUN/language); then it
is fine-tuned to their labels (RUN/classifier), whose folder ``model`` is what ships.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import torch
from _check import check
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import WordPieceTrainer
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from ogam.training import _attention, _batches, _labelled, _progress
from ogam.training.classifier import Settings, Source, export_again, train
from ogam.training.runs import Run

FINE_TUNING = Settings(
    epochs=3,
    batch_size=64,
    learning_rate=2e-4,
    average=0.999,
    split=0.2,
    max_tokens=96,
    bf16=True,
    seed=1,
    save_every=300,
    names={"0": "NEGATIVE", "1": "POSITIVE"},
)
ABOUT = {
    "name": "sentiment-ko",
    "licence": "CC0-1.0",
    "source": "https://github.com/e9t/nsmc",
    "summary": "Whether a Korean sentence speaks well or badly of something.",
    "understands": ["ko"],
}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNKNOWN, START, END, MASK = range(5)


class Pretraining(msgspec.Struct, frozen=True, kw_only=True):
    """How the encoder learns the language. A quarter of the tokens is hidden: a small model
    learns more from each text than at BERT's 15% (Wettig et al. 2023).
    """

    vocabulary: int = 8000
    hidden: int = 256
    layers: int = 3
    heads: int = 4
    feed_forward: int = 1024
    positions: int = 128
    steps: int = 3000
    batch_size: int = 128
    learning_rate: float = 1e-3
    warm_up: int = 300
    hidden_share: float = 0.25
    save_every: int = 250
    seed: int = 1


def tokenizer(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """WordPiece over the reviews. Composed syllables: NFKC, and lower case."""
    whole = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    whole.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    whole.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    whole.decoder = decoders.WordPiece()
    trainer = WordPieceTrainer(vocab_size=size, special_tokens=SPECIALS, limit_alphabet=3000)
    whole.train_from_iterator(texts, trainer)
    whole.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", START), ("[SEP]", END)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=whole,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def pretrain(texts: list[str], settings: Pretraining, folder: Path, *, resume: bool) -> Path | None:
    """Teach a BERT to guess hidden tokens; its folder, or None where it was stopped."""
    run = Run(folder, msgspec.to_builtins(settings) | {"texts": len(texts)}, resume=resume)
    place = folder / "encoder"
    if (place / "model.safetensors").exists():
        return place
    torch.manual_seed(settings.seed)
    words = tokenizer(texts, settings.vocabulary)
    network = BertForMaskedLM(
        BertConfig(
            vocab_size=len(words),
            hidden_size=settings.hidden,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            intermediate_size=settings.feed_forward,
            max_position_embeddings=settings.positions,
            pad_token_id=PAD,
        )
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=0.01, fused=True)
    backend = words.backend_tokenizer
    backend.enable_truncation(settings.positions)
    rows = [_batches.Tokens(one.ids, one.type_ids, 0) for one in backend.encode_batch(texts)]
    lengths = [len(row.ids) for row in rows]
    per_epoch = math.ceil(len(rows) / settings.batch_size)
    step = _restore(run, network, optimizer)
    losses: list[float] = []
    with run.stoppable(), _progress.bar(settings.steps, step) as report:
        while step < settings.steps:
            epoch, at = divmod(step, per_epoch)
            order = _batches.order(lengths, settings.batch_size, settings.seed, epoch)
            for batch in order[at:]:
                rate = settings.learning_rate * min(
                    (step + 1) / settings.warm_up,
                    (settings.steps - step) / (settings.steps - settings.warm_up),
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                torch.manual_seed(settings.seed * 1_000_003 + step)
                inputs, _ = _batches.tensors([rows[index] for index in batch], PAD, True)
                loss = _guess(network, inputs, settings.hidden_share)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                losses.append(loss.item())
                step += 1
                report(step, f"loss {losses[-1]:.3f}")
                if step % 50 == 0:
                    run.log(step=step, loss=sum(losses) / len(losses), learning_rate=rate)
                    losses.clear()
                done = step == settings.steps
                if done or run.stop_asked or step % settings.save_every == 0:
                    _save(run, network, optimizer, step)
                if done or run.stop_asked:
                    break
            if run.stop_asked and step < settings.steps:
                return None
    network.save_pretrained(place)
    words.save_pretrained(place)
    return place


def _guess(network: Any, inputs: dict[str, torch.Tensor], share: float) -> torch.Tensor:
    """The mean cross-entropy of hidden tokens; of ten, eight are masked and one is another's."""
    ids = inputs["input_ids"].clone()
    chosen = (torch.rand(ids.shape) < share) & (ids > MASK)
    chosen[0, 1] = True  # never none
    wanted = ids[chosen]
    chance = torch.rand(ids.shape)
    ids[chosen & (chance < 0.8)] = MASK
    other = chosen & (chance > 0.9)
    ids[other] = torch.randint(MASK + 1, network.config.vocab_size, (int(other.sum()),))
    with torch.autocast("cpu", torch.bfloat16), _attention.for_short_rows():
        states = network.bert(**{**inputs, "input_ids": ids}).last_hidden_state
        scores = network.cls(states[chosen])
    return torch.nn.functional.cross_entropy(scores.float(), wanted)


def _save(run: Run, network: Any, optimizer: torch.optim.Optimizer, step: int) -> None:
    tensors = {f"model.{name}": one.detach() for name, one in network.named_parameters()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"adam.{index}.{name}": one for name, one in state.items()})
    run.save(step, tensors, {})


def _restore(run: Run, network: Any, optimizer: torch.optim.Optimizer) -> int:
    last = run.load_last()
    if last is None:
        return 0
    tensors, state = last
    model = {name[6:]: one for name, one in tensors.items() if name.startswith("model.")}
    network.load_state_dict(model, strict=False)
    kept: dict[int, dict[str, torch.Tensor]] = {}
    for name, one in tensors.items():
        if name.startswith("adam."):
            _, index, part = name.split(".")
            kept.setdefault(int(index), {})[part] = one
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": kept, "param_groups": groups})
    return int(state["step"])


def main() -> int:
    """Pretrain, fine-tune, export, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reviews", type=Path, nargs="?", help="the TSV of reviews")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--resume", action="store_true", help="go on with a run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", type=Path, metavar="MODEL", help="compare, train nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    language, classifier = options.run / "language", options.run / "classifier"
    if options.check:
        encoder = language / "encoder"
        return check(options.check, lambda folder: export_again(classifier, encoder, folder))
    if options.reviews is None:
        parser.error("name REVIEWS and RUN")
    source = Source(options.reviews, text="document")
    learnt, _ = _labelled.split(_labelled.read(source, FINE_TUNING.names), FINE_TUNING.split)
    texts = list(dict.fromkeys(one.text for one in learnt))
    encoder = pretrain(texts, Pretraining(), language, resume=options.resume)
    if encoder is None:
        print("stopped; go on with --resume")
        return 130
    outcome = train(
        source,
        encoder,
        classifier,
        settings=FINE_TUNING,
        about=ABOUT,
        resume=options.resume and (classifier / "settings.json").exists(),
    )
    if outcome.scores is None or outcome.drop is None:
        print(f"stopped after {outcome.steps} steps; go on with --resume")
        return 130
    print(
        f"8 bit {outcome.scores.accuracy:.4f}, float {outcome.scores.accuracy + outcome.drop:.4f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
