"""Distil a translator: a small Transformer learns its teacher's translations.

Sequence-level distillation (Kim & Rush 2016, https://arxiv.org/abs/1606.07947): the teacher
translates the training sources by beam search, and the student is trained on what it said in
place of what the data says. It is scored against the data. The student has its teacher's tokens
and, where its width is its teacher's, begins with every k-th of its layers.

    RUN/taught/   the teacher's translations, in parts; a run that was killed goes on after the last
"""

# torch is called without types.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ogam.capabilities.translation import TranslateRequest
from ogam.errors import ConfigurationError, InvalidRequestError, OutputError
from ogam.media import files
from ogam.models.store import MANIFEST
from ogam.training import (
    _progress,
    distil,
    distil_report,
    export_translator,
    processes,
    translation,
    translation_corpus,
    translation_result,
    translation_settings,
)
from ogam.training._pretrained import sha256
from ogam.training.distil_report import Quality, Report, Serve, Side
from ogam.training.export_translator import TranslatorManifest
from ogam.training.runs import Run, load_checkpoint
from ogam.training.transformer import Transformer
from ogam.training.translation_corpus import Corpus
from ogam.training.translation_data import Text, Tokens, make_tokens, target_token
from ogam.training.translation_settings import FREE, Settings

if TYPE_CHECKING:
    from torch import Tensor

# Sentences of one part of the teacher's translations: some minutes of work at most.
_PART = 2000
# Sentences translated in one round of the measuring of speed.
_MEASURED = 64
# What a student has of its teacher and no one can choose.
_KEPT = ("tokens", "vocabulary", "max_tokens", "target_token")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. ``report`` is None where it was stopped and can be resumed."""

    folder: Path
    update: int
    report: Report | None = None


def train(
    data: Sequence[str | os.PathLike[str]],
    teacher: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    serve: Serve,
    changes: Mapping[str, Any] | None = None,
    beam: int = 5,
    resume: bool = False,
) -> Outcome:
    """Distil the run ``teacher`` on ``data`` into ``out/model``; compare them in ``out/report.*``.

    ``data`` is one table or two files of lines, as in training. The student has its teacher's
    settings but for ``changes``, fields of
    :class:`ogam.training.translation_settings.Settings`. ``beam`` is the width of the search by
    which the teacher translates. ``serve`` opens an exported model for measuring. Raises
    InvalidRequestError for data, teacher or student that will not do.
    """
    source, folder = Path(teacher).expanduser(), Path(out)
    processes.refuse_several()
    own, about = _settings(source)
    settings = _changed(own, about, [os.fspath(one) for one in data], changes or {})
    if not 1 <= beam <= 64:
        raise InvalidRequestError(f"beam must be from 1 to 64, not {beam}.", param="beam")
    initial = _initial(source, own, settings)
    texts, valid, test = translation_corpus.texts(settings)
    for one in (*texts, *valid, *test):
        if tuple(one.languages) not in about.languages:
            raise InvalidRequestError(
                f"The teacher does not translate {'-'.join(one.languages)}.",
                hint=f"It has {', '.join('-'.join(pair) for pair in about.languages)}.",
            )
    read = [Path(one) for one in (*settings.train, *settings.valid)]
    fixed = {
        name: value for name, value in msgspec.to_builtins(settings).items() if name not in FREE
    }
    fixed |= {
        "data_sha256": sha256(read),
        "teacher_sha256": sha256([source / "model" / "model.bin"]),
        "teacher_beam": beam,
    }
    run = Run(folder, fixed, resume=resume)
    tokens = _tokens(source, folder, settings)
    taught = _taught(run, source / "model", settings, tokens, texts, beam=beam)
    if taught is None:
        return Outcome(folder=folder, update=0)
    corpus = translation_corpus.build(settings, folder, taught, valid, test)
    done = translation.fit(run, settings, corpus, initial)
    if done.model is None:
        return Outcome(folder=folder, update=done.update)
    report = _compare(source, folder, settings, corpus, done, serve=serve)
    return Outcome(folder=folder, update=done.update, report=report)


def _settings(teacher: Path) -> tuple[Settings, TranslatorManifest]:
    """The settings of the teacher's run, which must have ended, and what its model says."""
    own = translation_settings.settings_of(teacher)
    place = teacher / "model" / MANIFEST
    if not place.exists() or not (teacher / "best").exists():
        raise InvalidRequestError(
            f"The run {teacher} has not ended.",
            hint="Go on with it by --resume first.",
            param="teacher",
        )
    try:
        return own, msgspec.json.decode(place.read_bytes(), type=TranslatorManifest)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(
            f"{place} is damaged: {error}.",
            hint="Go on with the run by --resume to write it again.",
        ) from None


def _changed(
    own: Settings, about: TranslatorManifest, data: Sequence[str], changes: Mapping[str, Any]
) -> Settings:
    """The student's settings."""
    kept = sorted(set(changes) & set(_KEPT))
    if kept:
        raise InvalidRequestError(
            f"{kept[0]} is the teacher's and cannot be changed.", param=kept[0]
        )
    given = {
        **msgspec.to_builtins(own),
        # A run's own name, and its files, say nothing of the next one's.
        "name": "",
        "valid": (),
        "test": (),
        **changes,
        "train": data,
        "target_token": bool(about.target_tokens),
    }
    try:
        settings = msgspec.convert(given, Settings)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"A setting is wrong: {error}.") from None
    translation_settings.check(settings)
    return settings


def _initial(teacher: Path, own: Settings, settings: Settings) -> dict[str, Tensor] | None:
    """What the student begins with: layers of its teacher; None where its width is another."""
    layers = {
        side: distil.taken(getattr(own, f"{side}_layers"), getattr(settings, f"{side}_layers"))
        for side in ("encoder", "decoder")
    }
    alike = ("d_model", "nhead", "activation", "pre_norm")
    if any(getattr(own, name) != getattr(settings, name) for name in alike):
        return None
    weights, _ = load_checkpoint(teacher / "best")
    student = Transformer(settings.shape(len(weights["embedding.weight"])))
    return distil.inherited(student.state_dict(), weights, layers)


def _tokens(teacher: Path, folder: Path, settings: Settings) -> Tokens:
    """The teacher's tokens, which become the student's."""
    name = "spm.model" if settings.tokens == "sentencepiece" else "vocabulary.json"
    if not (folder / name).exists():
        try:
            files.write(folder / name, (teacher / name).read_bytes())
        except OSError as error:
            raise ConfigurationError(
                f"The teacher's {name} cannot be read: {error.strerror}.",
                hint="Is the run's folder whole?",
            ) from None
    return make_tokens(folder, settings.tokens, [], [], settings.vocabulary)


def _taught(
    run: Run,
    model: Path,
    settings: Settings,
    tokens: Tokens,
    texts: Sequence[Text],
    *,
    beam: int,
) -> list[Text] | None:
    """Each different source with the teacher's translation; None where it was stopped.

    A source that the teacher turns into nothing is left out.
    """
    place = run.folder / "taught"
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{place} cannot be made: {error.strerror}.") from None
    asked = list(dict.fromkeys((one.source, one.languages) for one in texts))
    found: list[Text] = []
    with run.stoppable(), _progress.bar(len(asked)) as report:
        for start in range(0, len(asked), _PART):
            part = asked[start : start + _PART]
            path = place / f"{start:08d}.json"
            if path.exists():
                made = msgspec.json.decode(path.read_bytes(), type=list[str])
            else:
                made = _translated(model, settings, tokens, part, beam)
                files.write(path, msgspec.json.encode(made) + b"\n")
            found += [
                Text(source, text, languages)
                for (source, languages), text in zip(part, made, strict=True)
                if text.strip()
            ]
            report(start + len(part), "the teacher translates")
            if run.stop_asked:
                return None
    if not found:
        raise InvalidRequestError("The teacher translates none of this.", param="teacher")
    return found


def _translated(
    model: Path, settings: Settings, tokens: Tokens, part: Sequence[tuple[str, Any]], beam: int
) -> list[str]:
    given = [
        [
            *([target_token(languages.target)] if settings.target_token else []),
            *tokens.cut(source)[: settings.max_tokens],
        ]
        for source, languages in part
    ]
    made = export_translator.translations(
        model,
        given,
        beam=beam,
        threads=settings.threads or translation_settings.cores(),
        longest=2 * settings.max_tokens,
    )
    # Tokens that stand apart stay apart, so that the student reads the very same.
    return [" ".join(one) if tokens.kind == "space" else tokens.join(one) for one in made]


def _compare(
    teacher: Path,
    run: Path,
    settings: Settings,
    corpus: Corpus,
    done: translation.Outcome,
    *,
    serve: Serve,
) -> Report:
    """The two on the test pairs, or the validation pairs where there are none, and their speed."""
    texts = corpus.test_texts or corpus.valid_texts
    before = translation_result.measure(settings, corpus, teacher / "model", texts)
    after = done.test or done.valid
    several = len(after) > 1
    quality = [
        Quality(
            name=f"{name} {pair}" if several else name,
            teacher=getattr(before[pair], name.lower()),
            student=getattr(after[pair], name.lower()),
        )
        for pair in after
        for name in ("BLEU", "chrF")
    ]
    languages = texts[0].languages
    chosen = [one.source for one in texts if one.languages == languages][:_MEASURED]
    request = TranslateRequest(
        texts=tuple(chosen), source=languages.source, target=languages.target
    )
    engine = export_translator.ENGINE
    folders = (teacher / "model", run / "model")
    with serve(engine, folders[0]) as one, serve(engine, folders[1]) as other:
        speeds = distil_report.speeds(
            [
                lambda: len(one.translate(request).translations),
                lambda: len(other.translate(request).translations),
            ]
        )
    sides = [
        Side(parameters=_parameters(own), bytes=distil_report.size(place), speed=speed)
        for own, place, speed in zip((teacher, run), folders, speeds, strict=True)
    ]
    report = Report(
        kind="translator",
        unit="sentences",
        judged=f"{len(texts):,} {'test' if corpus.test_texts else 'validation'} pairs, both models "
        f"in {settings.precision}, a beam of {settings.beam}, by sacreBLEU "
        f"({next(iter(after.values())).signature})",
        teacher=sides[0],
        student=sides[1],
        quality=tuple(quality),
        batch=len(chosen),
    )
    distil_report.write(run, report)
    return report


def _parameters(run: Path) -> int:
    weights, _ = load_checkpoint(run / "best")
    return sum(one.numel() for one in weights.values())
