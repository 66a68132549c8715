"""Models of PyTorch Hub: ``torchhub:owner/repo:entry`` or ``torchhub:owner/repo:entry:argument``.

An entry is a function in the repository's ``hubconf.py``, so to ask for the model is to run
that code; it is done only where the caller says so. What comes back is written as a folder
like those of the Hugging Face hub, in safetensors. A model that cannot write itself that way
(any ``torch.nn.Module`` may come back) belongs to no engine here, and is refused.
"""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import Any

from ogam.errors import DownloadError, InvalidRequestError
from ogam.extras import needs

PREFIX = "torchhub:"


def parse(source: str) -> tuple[str, str, list[str]]:
    """The repository, the entry and its arguments out of ``torchhub:owner/repo:entry``."""
    repository, _, rest = source.removeprefix(PREFIX).partition(":")
    entry, *arguments = rest.split(":")
    owned = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository, re.ASCII)
    if not owned or ".." in repository or not re.fullmatch(r"[A-Za-z]\w*", entry, re.ASCII):
        raise InvalidRequestError(
            f"{source!r} names no entry of PyTorch Hub.",
            hint="Write torchhub:owner/repo:entry, as in torchhub:huggingface/transformers:model.",
        )
    return repository, entry, arguments


def save(source: str, folder: Path, *, revision: str | None, trust_code: bool) -> None:
    """Run the entry, and write the model it gives (and its tokenizer) into ``folder``.

    Raises InvalidRequestError without ``trust_code``, or where the model cannot be written;
    DownloadError where GitHub cannot be reached or the repository's code fails.
    """
    repository, entry, arguments = parse(source)
    if not trust_code:
        raise InvalidRequestError(
            f"To pull {source} is to run the code of github.com/{repository} on this machine.",
            hint="Read its hubconf.py; if you trust it, say so: --trust-code.",
        )
    with needs("train"):
        import torch
    place = f"{repository}:{revision}" if revision else repository
    # Whatever the code prints is no answer of ours.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            load: Any = torch.hub.load  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
            made = load(place, entry, *arguments, trust_repo=True, verbose=False)
        except Exception as error:  # the repository's code fails in any way it likes
            raise DownloadError(
                f"{source} gave no model: {type(error).__name__}: {error}.",
                hint="Look at its hubconf.py, the network, and the packages it asks for.",
            ) from None
        parts: tuple[Any, ...] = tuple(made) if isinstance(made, (tuple, list)) else (made,)  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
        for part in parts:
            if not hasattr(part, "save_pretrained"):
                raise InvalidRequestError(
                    f"{source} gives a {type(part).__name__}, which no engine here runs.",
                    hint="Entries that give a model of transformers can be pulled.",
                )
            part.save_pretrained(folder)
