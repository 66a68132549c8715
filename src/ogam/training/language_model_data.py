"""Text files to token blocks for a language model: documents, a byte-level BPE, a stream on disk.

The stream is one row of token numbers, ``end doc end doc end …``, in a file of its own, so
that text of any size trains in little memory. Knows no model.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ogam.errors import ConfigurationError, InvalidRequestError
from ogam.extras import needs
from ogam.media import files
from ogam.training import data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Stream = NDArray[np.integer[Any]]

END = "<|endoftext|>"
# Long documents are tokenised in parts, cut where a line that is not blank meets one that
# starts with no space: there the tokens are the same as those of the whole.
_PART = 20_000
# The held-out share lies in so many stretches, spread evenly, so that it is like the rest.
_STRETCHES = 20
_FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))


def documents(paths: Sequence[Path], *, lines: bool = False) -> Iterator[Iterator[str]]:
    """The documents of text files, each as parts that make it up when joined.

    A document is a file, or what lies between two lines that are ``<|endoftext|>``; with
    ``lines`` each line that is not blank is one. Raises InvalidRequestError as
    :func:`ogam.training.data.lines` does.
    """
    for path in paths:
        if lines:
            yield from (iter((line,)) for line in data.lines(path) if line.strip())
            continue
        rest = data.lines(path)
        ended = False

        def one(rest: Iterator[str] = rest) -> Iterator[str]:
            nonlocal ended
            for line in rest:
                if line.strip() == END:
                    return
                yield line
            ended = True

        while not ended:
            yield _parts(one())


def _parts(lines: Iterator[str]) -> Iterator[str]:
    part: list[str] = []
    size, blank = 0, True
    for line in lines:
        if size > _PART and not blank and line[:1].strip():
            yield "".join(part)
            part, size = [], 0
        part.append(line + "\n")
        size += len(line)
        blank = not line.strip()
    text = "".join(part).rstrip("\n")
    if text.strip():
        yield text


def train_tokenizer(paths: Sequence[Path], vocabulary: int, *, lines: bool) -> Tokenizer:
    """A byte-level BPE of at most ``vocabulary`` tokens; every text can be written in it."""
    with needs("train"):
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    parts = (part for document in documents(paths, lines=lines) for part in document)
    tokenizer.train_from_iterator(parts, trainer)
    return tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """GPT-2's own tokenizer, or one like it, from the files it is published in.

    ``tokenizer.json``, or ``vocab.json`` and ``merges.txt``, or ``encoder.json`` and
    ``vocab.bpe``.
    """
    with needs("train"):
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    whole = folder / "tokenizer.json"
    pairs = [(folder / a, folder / b) for a, b in _FILES]
    found = next(((a, b) for a, b in pairs if a.is_file() and b.is_file()), None)
    try:
        if whole.is_file():
            tokenizer: Any = Tokenizer.from_file(str(whole))
        elif found is not None:
            bpe: Any = models.BPE
            model = bpe.from_file(*map(str, found))
            tokenizer = Tokenizer(model)
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
        else:
            raise InvalidRequestError(
                f"{folder} holds no tokenizer.",
                hint="It needs tokenizer.json, or vocab.json and merges.txt, "
                "or encoder.json and vocab.bpe.",
            )
        known = tokenizer.token_to_id(END) is not None
        decoder: Any = json.loads(tokenizer.to_str())["decoder"]
    except InvalidRequestError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a damaged file
        raise InvalidRequestError(f"The tokenizer in {folder} does not load: {error}.") from None
    if not known or not decoder or decoder["type"] != "ByteLevel":
        raise InvalidRequestError(
            f"The tokenizer in {folder} is no byte-level BPE with {END}.",
            hint="Take GPT-2's, or leave --tokenizer out to train one.",
        )
    tokenizer.add_special_tokens([END])
    return tokenizer


def write_stream(
    tokenizer: Tokenizer, paths: Sequence[Path], target: Path, *, lines: bool
) -> Stream:
    """Tokenise the files into ``target``, whole or not at all; return it as :func:`stream`."""
    import numpy as np

    end = tokenizer.token_to_id(END)
    kind = _kind(tokenizer)
    with files.replacing(target) as temporary, temporary.open("wb") as file:
        file.write(np.array([end], kind).tobytes())
        for document in documents(paths, lines=lines):
            some = False
            for part in document:
                some = True
                file.write(np.array(tokenizer.encode(part).ids, kind).tobytes())
            if some:
                file.write(np.array([end], kind).tobytes())
    return stream(tokenizer, target)


def stream(tokenizer: Tokenizer, path: Path) -> Stream:
    """The token numbers in a file, read from disk where they are used."""
    import numpy as np

    try:
        return np.memmap(path, _kind(tokenizer), mode="r")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The tokens in {path} cannot be read: {error}.", hint="Start a new run."
        ) from None


def split(tokenizer: Tokenizer, path: Path, held_out: Path, share: float) -> tuple[Stream, Stream]:
    """Move ``share`` of the stream in ``path`` to ``held_out``; both are rewritten whole.

    What is moved lies in up to 20 stretches, spread evenly. Where a stretch begins or ends,
    both streams have an end token.
    """
    import numpy as np

    whole = stream(tokenizer, path)
    inside = len(whole) - 2  # without the end tokens at both ends
    count = max(1, min(_STRETCHES, int(inside * share) // 64))
    length = max(1, int(inside * share / count))
    starts = [1 + int((at + 0.5) * inside / count) - length // 2 for at in range(count)]
    end = np.array([tokenizer.token_to_id(END)], whole.dtype)

    def write(target: Path, ranges: Sequence[tuple[int, int]]) -> None:
        with files.replacing(target) as temporary, temporary.open("wb") as file:
            last = -1
            for start, stop in ranges:
                piece = whole[start:stop]
                # One end token between two pieces, whatever they begin and end with.
                if last != end[0] and (not len(piece) or piece[0] != end[0]):
                    file.write(end.tobytes())
                if last == end[0] and len(piece) and piece[0] == end[0]:
                    piece = piece[1:]
                file.write(piece.tobytes())
                last = int(piece[-1]) if len(piece) else last
            if last != end[0]:
                file.write(end.tobytes())

    taken = [(start, start + length) for start in starts]
    borders = [0, *(border for pair in taken for border in pair), len(whole)]
    write(held_out, taken)
    # Read before it is replaced: on Windows a mapped file cannot be.
    whole = np.array(whole)
    write(path, list(zip(borders[::2], borders[1::2], strict=True)))
    return stream(tokenizer, path), stream(tokenizer, held_out)


def byte_lengths(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """How many bytes of UTF-8 each token stands for; none for the end token."""
    import numpy as np

    sizes = np.zeros(tokenizer.get_vocab_size(), np.int64)
    for token, number in tokenizer.get_vocab().items():
        # In a byte-level vocabulary a character stands for a byte.
        sizes[number] = 0 if token == END else len(token)
    return sizes


def order(tokens: int, context: int, seed: int, epoch: int) -> list[int]:
    """Where the blocks of an epoch begin, shuffled; a function of nothing but its arguments.

    Each epoch cuts the stream at another offset, so that no border between blocks is for
    ever. A block needs ``context`` tokens and the one after them.
    """
    chance = random.Random(f"{seed}/{epoch}")  # noqa: S311
    count = blocks(tokens, context)
    offset = chance.randrange(tokens - count * context)
    starts = [offset + at * context for at in range(count)]
    chance.shuffle(starts)
    return starts


def blocks(tokens: int, context: int) -> int:
    """How many blocks an epoch has."""
    return max(0, (tokens - 1) // context)


def _kind(tokenizer: Tokenizer) -> Any:
    import numpy as np

    return np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
