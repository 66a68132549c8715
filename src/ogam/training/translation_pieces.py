"""SentencePiece's pieces: learned from texts, and grown where other texts are to be written too."""

# SentencePiece and protobuf's own classes have no types.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ogam.errors import ConfigurationError, InvalidRequestError
from ogam.extras import needs
from ogam.training import data
from ogam.training.transformer import SPECIALS


def learned(
    texts: Iterable[str], controls: Sequence[str], whole: Sequence[str], size: int
) -> bytes:
    """A SentencePiece model (BPE) of ``size`` pieces, all counted.

    ``controls`` are pieces that no text can hold, ``whole`` characters that are never cut. Raises
    InvalidRequestError where the texts give no such model.
    """
    return _trained(
        texts,
        size,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece=SPECIALS[0],
        bos_piece=SPECIALS[1],
        eos_piece=SPECIALS[2],
        unk_piece=SPECIALS[3],
        # Control symbols are never found in a text, so none can ask for a language.
        control_symbols=list(controls),
        user_defined_symbols=list(whole),
    )


def _trained(texts: Iterable[str], size: int, **options: Any) -> bytes:
    with needs("train"):
        import sentencepiece
    library: Any = sentencepiece
    model = io.BytesIO()
    try:
        library.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            # The same model from the same texts whatever the number of threads, which unigram's
            # sums of floats do not promise.
            model_type="bpe",
            vocab_size=size,
            max_sentence_length=data.LONGEST_LINE,
            num_threads=1,
            minloglevel=2,
            **options,
        )
    except RuntimeError as error:
        # Its message is C++ with a place in the source; the numbers at the end are of use.
        raise InvalidRequestError(
            f"SentencePiece makes no vocabulary of {size} from this text: "
            f"{str(error).rpartition(']')[2].strip() or error}",
            hint="Choose another --vocabulary, smaller for little text.",
            param="vocabulary",
        ) from None
    return model.getvalue()


def grown(
    model: bytes, texts: Iterable[str], controls: Sequence[str], whole: Sequence[str], size: int
) -> bytes:
    """A SentencePiece model (BPE) with more pieces behind its own, whose numbers stay.

    First ``controls`` and ``whole`` (pieces that no text can hold, and that are never cut), as
    far as it has them not; then what ``texts`` need, up to ``size`` pieces: characters that
    were unknown, and what is often beside them.
    """
    with needs("train"):
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2
    library: Any = sentencepiece
    proto: Any = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
    proto.ParseFromString(model)
    kinds = proto.SentencePiece
    have = {one.piece for one in proto.pieces}
    lowest = min(one.score for one in proto.pieces)

    def add(piece: str, kind: Any, score: float = 0.0) -> None:
        if piece not in have:
            have.add(piece)
            proto.pieces.add(piece=piece, type=kind, score=score)

    for one in controls:
        add(one, kinds.CONTROL)
    for one in whole:
        add(one, kinds.USER_DEFINED)
    known = {one for one in have if len(one) == 1} | {" "}
    normal = library.SentencePieceProcessor(model_proto=model).normalize
    new = [text for text in texts if not known.issuperset(normal(text))]
    room = size - len(have)
    if room > 0 and new:
        # Some of what it learns is there already.
        made = _trained(new, room + room // 4 + len(known), hard_vocab_limit=False)
        other: Any = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
        other.ParseFromString(made)
        found: list[str] = [
            one.piece for one in other.pieces if one.type == kinds.NORMAL and one.piece not in have
        ]
        # Characters come last there, and a pair of them is of no use without them. Of pairs
        # the first learned is the first joined, which a score says: the higher, the sooner.
        found.sort(key=lambda piece: len(piece) > 1)
        for place, piece in enumerate(islice(found, room), 1):
            add(piece, kinds.NORMAL, lowest - place)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    return proto.SerializeToString()


def of(start: Path) -> bytes:
    """The SentencePiece model of the run to begin from."""
    try:
        return (start / "spm.model").read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The tokens of {start} cannot be read: {error.strerror}.",
            hint="Is the run's folder whole?",
        ) from None
