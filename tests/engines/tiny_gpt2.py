"""A GPT-2 that is trained in a second, the engine over it, and a copy of its folder to change."""

from __future__ import annotations

import random
import shutil

from ogam.capabilities.base import ModelRef
from ogam.capabilities.text_generation import GenerateRequest
from ogam.engines.ctranslate2_generator import CTranslate2GeneratorEngine

PROMPT = "the old fox"


def corpus():
    draw = random.Random(3)
    subjects = ["the old fox", "a small bird", "그 여우", "the café owner", "a 🙂 child"]
    verbs = ["saw", "followed", "sang to", "보았다", "forgot"]
    return "".join(
        f"{draw.choice(subjects)} {draw.choice(verbs)} {draw.choice(subjects)}.\n"
        for _ in range(400)
    )


def trained(folder):
    """The model's folder."""
    from ogam.training.language_model import Settings, train

    (folder / "text.txt").write_text(corpus(), encoding="utf-8")
    settings = Settings(
        files=(str(folder / "text.txt"),),
        held_out=0.1,
        vocabulary=300,
        d_model=32,
        layers=2,
        heads=2,
        context=64,
        dropout=0.0,
        batch=8,
        steps=25,
        warmup=5,
        learning_rate=5e-3,
        quantization="float32",
        threads=1,
    )
    assert train(folder / "run", settings) is not None
    return folder / "run" / "model"


def make(folder):
    return CTranslate2GeneratorEngine(
        ModelRef(name="tiny", engine="ctranslate2_generator", folder=folder)
    )


def write(engine, prompt=PROMPT, **options):
    return engine.generate(GenerateRequest(prompt=prompt, **options))


def copy(model, target):
    shutil.copytree(model, target / "copy")
    return target / "copy"
