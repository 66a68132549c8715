"""The end of a translation run: which weights, the folder of the model, BLEU and chrF of it."""

# torch is called without types.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from ogam.errors import InvalidRequestError
from ogam.media import files
from ogam.training import export_translator
from ogam.training.export_translator import Scores
from ogam.training.runs import WatchedRun, load_checkpoint
from ogam.training.translation_corpus import Corpus
from ogam.training.translation_data import Text, make_tokens, target_token
from ogam.training.translation_settings import Settings, cores, settings_of


def export(
    settings: Settings, folder: Path, corpus: Corpus, weights: Mapping[str, Tensor], summary: str
) -> Path:
    """Write ``folder``/model and return it; ``summary`` says how the weights came about."""
    vocabulary = corpus.tokens.vocabulary
    targets = sorted({target for _, target in corpus.pairs})
    # A manner of a language (de-x-formal) has a token and is no language of its own.
    pairs = tuple(pair for pair in corpus.pairs if "-x-" not in pair[1])
    about = {
        "name": settings.name or folder.resolve().name,
        "licence": settings.licence,
        "source": f"trained on {', '.join(Path(one).name for one in settings.train)}",
        "languages": pairs,
        "target_tokens": {one: target_token(one) for one in targets} if corpus.tagged else {},
        "tokens": corpus.tokens.kind,
        "max_tokens": settings.max_tokens,
        "summary": f"Transformer, {settings.encoder_layers}+{settings.decoder_layers} layers, "
        f"d_model {settings.d_model}, {summary}",
    }
    export_translator.export(
        folder / "model",
        settings.shape(len(vocabulary)),
        weights,
        vocabulary,
        manifest=about,
        tokenizer=corpus.tokens.file,
        precision=settings.precision,
    )
    return folder / "model"


def export_again(run: Path, folder: Path) -> None:
    """Write what the ended run in ``run`` exported once more, without its manifest.

    Into ``folder``, which exists. Reads no data: its log says which weights were chosen. Raises
    InvalidRequestError where the run has not ended.
    """
    settings = settings_of(run)
    tokens = make_tokens(run, settings.tokens, [], [], settings.vocabulary)
    export_translator.write(
        folder,
        settings.shape(len(tokens.vocabulary)),
        chosen(run),
        tokens.vocabulary,
        tokenizer=tokens.file,
        precision=settings.precision,
    )


def chosen(folder: Path) -> dict[str, Tensor]:
    """The weights that the ended run in ``folder`` exported."""
    run = WatchedRun(folder)
    best = run.load_best()
    if best is None or not (folder / "model").exists():
        raise InvalidRequestError(
            f"The run {folder} has not ended.", hint="Go on with it by --resume first."
        )
    return mixed(settings_of(folder), _learned(run, *best))


def mixed(settings: Settings, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights with the share ``settings.keep`` of those that the run began with.

    Rows of tokens that are new are as they were learned.
    """
    if not settings.start or not settings.keep:
        return weights
    found = dict(weights)
    for name, old in chosen(Path(settings.start)).items():
        new = found[name].clone()
        part = new[: len(old)]
        part.copy_(torch.lerp(part, old, settings.keep))
        found[name] = new
    return found


def _learned(
    run: WatchedRun, weights: dict[str, Tensor], state: Mapping[str, Any]
) -> dict[str, Tensor]:
    means = [one["average_loss"] for one in run.history() if "average_loss" in one]
    if not means or means[-1] >= state["valid_loss"]:
        return weights
    return average([load_checkpoint(one)[0] for one in run.snapshots()])


def scores(settings: Settings, folder: Path, corpus: Corpus) -> dict[str, dict[str, Scores]]:
    """BLEU and chrF of ``folder``/model on the validation and test pairs, by pair of languages.

    They are also written to ``folder``/scores.json.
    """
    found = {
        part: measure(settings, corpus, folder / "model", texts)
        for part, texts in (("valid", corpus.valid_texts), ("test", corpus.test_texts))
    }
    encoded = msgspec.json.format(msgspec.json.encode(found), indent=1)
    files.write(folder / "scores.json", encoded + b"\n")
    return found


def average(weights: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor, summed in double precision."""
    return {
        name: torch.stack([one[name].double() for one in weights]).mean(0).to(tensor.dtype)
        for name, tensor in weights[0].items()
    }


def measure(
    settings: Settings, corpus: Corpus, folder: Path, texts: Sequence[Text]
) -> dict[str, Scores]:
    """BLEU and chrF of the exported model in ``folder``, by pair of languages."""
    found: dict[str, Scores] = {}
    tokens = corpus.tokens
    for languages in sorted({one.languages for one in texts}):
        own = [one for one in texts if one.languages == languages]
        head = [target_token(languages.target)] if corpus.tagged else []
        given = [[*head, *tokens.cut(one.source)[: settings.max_tokens]] for one in own]
        made = export_translator.translations(
            folder,
            given,
            beam=settings.beam,
            threads=settings.threads or cores(),
            longest=2 * settings.max_tokens,
        )
        found["-".join(languages)] = export_translator.score(
            [tokens.join(one) for one in made],
            # The same way out for both: what was cut apart for training is put together.
            [
                tokens.join(tokens.cut(one.target)) if tokens.kind == "space" else one.target
                for one in own
            ],
            languages.target,
            cut=tokens.kind == "space",
        )
    return found
