"""embed, nearest words and analogies with word vectors: Word2Vec, GloVe, fastText's .vec.

A model is a folder with one file of vectors: word2vec's binary format (``.bin``) or text,
with word2vec's heading line or without one, as GloVe has it (``.txt``, ``.vec``), each packed
by gzip or not. A ``model.json`` that names the file is there where Ogam trained it. Knows no
training; needs NumPy alone.
"""

from __future__ import annotations

import difflib
import gzip
import itertools
import json
import re
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, NamedTuple, cast

from ogam.capabilities.base import Capability, ModelRef, Units, checkpoint
from ogam.capabilities.embedding import EmbedRequest, EmbedResult, Vectors
from ogam.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotConfiguredError,
    UnsupportedOptionError,
)
from ogam.extras import needs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

_ENDINGS = (".bin", ".txt", ".vec", ".bin.gz", ".txt.gz", ".vec.gz")
# What gensim's save() writes: pickles, which run code when they are read.
_PICKLES = (".kv", ".model", ".wordvectors", ".pkl", ".pickle")
_CONVERT = (
    'python -c "from gensim.models import KeyedVectors as K; '
    "v = K.load('{name}'); getattr(v, 'wv', v).save_word2vec_format('vectors.bin', binary=True)\""
)
# Words that are looked through for near spellings: files begin with the frequent ones. 50,000
# take some 0.1 s.
_NEAR_AMONG = 50_000
_WORD = re.compile(r"\w+(?:['’]\w+)*")


class Neighbour(NamedTuple):
    """A word and its cosine with what was asked for."""

    word: str
    cosine: float


class Word2VecEngine:
    """Serves the vectors in ``ref.folder``. Safe to use from many threads at once."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"embed"})
    requires: ClassVar[tuple[str, ...]] = ("numpy",)
    extra: ClassVar[str] = "local"

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lock = threading.Lock()
        self._table: _Table | None = None

    def embed(self, request: EmbedRequest) -> EmbedResult:
        """A text's vector: the mean of its known words' vectors, brought to length 1.

        A word is looked up as it stands, then in lower case, then without the punctuation
        around it. ``units.input_tokens`` counts the known words. Raises InvalidRequestError
        for a text without a known word, UnsupportedOptionError for more ``dimensions`` than
        there are.
        """
        import numpy as np

        table = self._load()
        width = table.vectors.shape[1]
        wanted = request.dimensions or width
        if wanted > width:
            raise UnsupportedOptionError(
                f"{self._ref.name} has {width} dimensions, not {wanted}.",
                hint=f"Ask for {width} or fewer.",
                param="dimensions",
            )
        rows = np.empty((len(request.texts), wanted), np.float32)
        count = 0
        for row, text in zip(rows, request.texts, strict=True):
            checkpoint()
            found = table.find(text)
            if not found:
                raise InvalidRequestError(
                    f"{self._ref.name} knows no word of {_short(text)}.",
                    hint=table.hint(text),
                    param="texts",
                )
            count += len(found)
            mean = table.vectors[found, :wanted].mean(axis=0, dtype=np.float64)
            # Words can cancel each other out: then there is no direction, and the vector is 0.
            row[:] = mean / (float(np.linalg.norm(mean)) or 1.0)
        return EmbedResult(
            engine=self._ref.engine,
            model=self._ref.name,
            units=Units(input_tokens=count),
            vectors=Vectors(data=rows.astype("<f4", copy=False).tobytes(), dimensions=wanted),
        )

    def nearest(self, word: str, n: int = 10) -> list[Neighbour]:
        """The ``n`` words of the highest cosine with ``word``, best first, without itself."""
        table = self._load()
        index = self._index(table, word)
        return table.nearest(table.units[index], n, without={index})

    def analogy(self, a: str, b: str, c: str, n: int = 10) -> list[Neighbour]:
        """What is to ``c`` as ``b`` is to ``a``: man, king, woman gives queen.

        The words nearest to b - a + c (each of length 1), without the three themselves.
        """
        table = self._load()
        one, two, three = (self._index(table, word) for word in (a, b, c))
        wanted = table.units[two] - table.units[one] + table.units[three]
        return table.nearest(wanted, n, without={one, two, three})

    def close(self) -> None:
        """Let go of the vectors."""
        with self._lock:
            self._table = None

    def _index(self, table: _Table, word: str) -> int:
        found = table.find(word.strip())
        if len(found) != 1:
            raise InvalidRequestError(
                f"{self._ref.name} does not know the word {_short(word)}.",
                hint=table.hint(word),
                param="word",
            )
        return found[0]

    def _load(self) -> _Table:
        with self._lock:
            if self._table is None:
                with needs("local"):
                    import numpy as np  # noqa: F401  # pyright: ignore[reportUnusedImport]
                self._table = _Table(*read(_file(self._ref)))
            return self._table


class _Table:
    """Words and their vectors (words, dimensions), as they were trained."""

    def __init__(self, words: list[str], vectors: Matrix) -> None:
        self.words, self.vectors = words, vectors
        # Of a word that stands twice the first counts: files begin with the frequent ones.
        self._index: dict[str, int] = {}
        for index, word in enumerate(words):
            self._index.setdefault(word, index)
        self._units: Matrix | None = None

    @property
    def units(self) -> Matrix:
        """The vectors brought to length 1; made when first asked for."""
        import numpy as np

        units = self._units
        if units is None:
            norms = np.linalg.norm(self.vectors, axis=1, keepdims=True)
            units = self._units = self.vectors / np.maximum(norms, np.float32(1e-12))
        return units

    def find(self, text: str) -> list[int]:
        """The indices of the known words of a text, in its order."""
        found: list[int] = []
        for chunk in text.split():
            index = self._one(chunk)
            if index is not None:
                found.append(index)
            else:
                pieces = (self._one(piece) for piece in _WORD.findall(chunk))
                found += [one for one in pieces if one is not None]
        return found

    def _one(self, word: str) -> int | None:
        index = self._index.get(word)
        return self._index.get(word.lower()) if index is None else index

    def hint(self, text: str) -> str:
        """What to tell of an unknown word: known ones that are spelt nearly so."""
        word = text.strip().lower()
        close: list[str] = []
        if len(word) <= 40 and len(word.split()) == 1:
            # Farther in length than this they cannot be near.
            among = (one for one in self.words[:_NEAR_AMONG] if abs(len(one) - len(word)) <= 2)
            close = difflib.get_close_matches(word, among, n=3, cutoff=0.7)
        if close:
            return f"It knows {', '.join(close)}."
        return "Word vectors know the words they were trained on and no other."

    def nearest(self, vector: Matrix, n: int, without: set[int]) -> list[Neighbour]:
        import numpy as np

        direction = vector / (float(np.linalg.norm(vector)) or 1.0)
        cosines = self.units @ direction.astype(np.float32)
        cosines[list(without)] = -np.inf
        kept = max(0, min(n, len(self.words) - len(without)))
        best = np.argpartition(-cosines, min(kept, len(cosines) - 1))[:kept]
        ranked = sorted(best.tolist(), key=lambda index: (-cosines[index], index))
        return [Neighbour(self.words[index], float(cosines[index])) for index in ranked]


def read(path: Path) -> tuple[list[str], Matrix]:
    """The words and vectors (words, dimensions) of a file in one of the three formats.

    Raises ConfigurationError, with the line, for a file that is none of them.
    """
    try:
        packed = path.suffix.lower() == ".gz"
        name = path.with_suffix("") if packed else path
        with gzip.open(path) if packed else path.open("rb") as file:
            return (
                _binary(file.read())
                if name.suffix.lower() == ".bin"
                else _text(cast(BinaryIO, file))
            )
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ConfigurationError(
            f"{path} holds no word vectors: {error}.",
            hint="word2vec's format, text or binary, or GloVe's text.",
        ) from None


def _binary(data: bytes) -> tuple[list[str], Matrix]:
    import numpy as np

    at = data.find(b"\n") + 1
    try:
        count, width = map(int, data[:at].split())
    except ValueError:
        raise ValueError("it does not begin with a count and a length") from None
    # The smallest entry is a space and the vector.
    if count < 1 or width < 1 or count * (4 * width + 1) > len(data) - at:
        raise ValueError(f"{count} vectors of {width} numbers do not fit into it")
    vectors = np.empty((count, width), np.float32)
    words: list[str] = []
    for row in vectors:
        space = data.find(b" ", at)
        if space < 0 or space + 1 + 4 * width > len(data):
            raise ValueError(f"it ends after {len(words)} of {count} words")
        # The first implementation ends an entry with a line feed, others do not.
        words.append(data[at:space].lstrip(b"\n").decode("utf-8", errors="replace"))
        row[:] = np.frombuffer(data, "<f4", width, space + 1)
        at = space + 1 + 4 * width
    return words, _finite(vectors)


def _text(file: BinaryIO) -> tuple[list[str], Matrix]:
    import numpy as np

    words: list[str] = []
    rows: list[Matrix] = []
    # Line ends are the line feeds alone: a word may be another character that ends lines.
    lines = (line.decode("utf-8", errors="replace") for line in file)
    heading = next(lines, "")
    first = heading.split()
    width = len(first) - 1
    if len(first) == 2 and all(part.isdecimal() for part in first):
        width = int(first[1])
    else:
        lines = itertools.chain((heading,), lines)
    if width < 1:
        raise ValueError("its first line is no word with numbers")
    for number, line in enumerate(lines, 1):
        # A word of GloVe's may hold spaces: the numbers are the last so many.
        parts = line.rstrip().rsplit(" ", width)
        if len(parts) != width + 1:
            if not line.strip():
                continue
            raise ValueError(f"entry {number} has fewer than {width} numbers")
        try:
            rows.append(np.array(parts[1:], np.float32))
        except ValueError:
            raise ValueError(f"entry {number} is no word with numbers") from None
        words.append(parts[0])
    if not rows:
        raise ValueError("it is empty")
    return words, _finite(np.stack(rows))


def _finite(vectors: Matrix) -> Matrix:
    import numpy as np

    if not np.isfinite(vectors).all():
        raise ValueError("some of its numbers are not finite")
    return vectors


def _file(ref: ModelRef) -> Path:
    """The one file of vectors in the model's folder."""
    folder = ref.folder
    if folder is None or not folder.is_dir():
        raise NotConfiguredError(
            f"The model {ref.name!r} is not on this machine.",
            hint="Name a model's folder: word2vec/./FOLDER; `ogam train word2vec` makes one.",
        )
    if (folder / "model.json").is_file():
        return folder / _named(folder / "model.json")
    found = sorted(path for path in folder.iterdir() if path.name.lower().endswith(_ENDINGS))
    if len(found) == 1:
        return found[0]
    pickles = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICKLES)
    if pickles and not found:
        raise ConfigurationError(
            f"{pickles[0].name} is a pickle, which may run code when it is read.",
            hint=f"Convert it where you trust it: {_CONVERT.format(name=pickles[0].name)}",
        )
    raise ConfigurationError(
        f"{folder} holds {len(found) or 'no'} files of word vectors.",
        hint=f"Put one into it, with the ending {', '.join(_ENDINGS)}.",
    )


def _named(path: Path) -> str:
    try:
        manifest: Any = json.loads(path.read_bytes())
        name = manifest["vectors"]
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError("vectors must name a file beside it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path} is no manifest of word vectors ({type(error).__name__}: {error}).",
            hint="Install the model again.",
        ) from None
    return name


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 40 else f"{line[:39]}…")
