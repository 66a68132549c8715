"""Tiny models of transformers, made once for all tests that ask for them."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A function: the folder of a model by name, made once."""
    import torch
    import transformers

    from .tiny_transformers import MAKERS

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


@pytest.fixture(scope="session")
def engines(folders):
    """A function: the engine over a model by name, made once."""
    from ogam.capabilities.base import ModelRef
    from ogam.engines.huggingface_transformers import TransformersEngine

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


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The folder of a tiny GPT-2 for CTranslate2."""
    from .tiny_gpt2 import trained

    return trained(tmp_path_factory.mktemp("tiny"))
