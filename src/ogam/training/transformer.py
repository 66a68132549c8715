"""The encoder-decoder Transformer of "Attention Is All You Need", on ``torch.nn.Transformer``.

One table of embeddings serves the source, the target and the output. Texts are rows of token
numbers, padded with ``PAD`` on the right. Knows no tokenizer, no file and no training.

Paper: https://arxiv.org/abs/1706.03762
"""

# Modules of torch are called through an untyped __call__.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from ogam.errors import InvalidRequestError
from ogam.training import _dropout

PAD, START, END, UNKNOWN = range(4)
SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is like. ``vocabulary`` counts the four special tokens too.

    ``attention_dropout`` (on attention's weights) and ``activation_dropout`` (inside the feed-
    forward layer) are as ``dropout`` where None, as nn.Transformer has it. ``positions`` is the
    longest text in tokens that the model can take or give.
    """

    vocabulary: int
    d_model: int = 512
    nhead: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    feed_forward: int = 2048
    dropout: float = 0.1
    attention_dropout: float | None = None
    activation_dropout: float | None = None
    activation: Literal["relu", "gelu"] = "relu"
    pre_norm: bool = False
    positions: int = 512

    def __post_init__(self) -> None:
        if self.d_model % self.nhead or self.d_model % 2:
            raise InvalidRequestError(
                f"d_model {self.d_model} cannot be shared by {self.nhead} heads.",
                hint="It must be even and a multiple of the heads: 512 and 8, 128 and 4.",
                param="d_model",
            )


class Transformer(nn.Module):
    """Source and target rows of tokens to scores of the next target token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.d_model, padding_idx=PAD)
        self.register_buffer(
            "positions", sinusoids(shape.positions, shape.d_model), persistent=False
        )
        self.dropout = nn.Dropout(shape.dropout)
        encoder_layer = nn.TransformerEncoderLayer(
            shape.d_model,
            shape.nhead,
            shape.feed_forward,
            shape.dropout,
            shape.activation,
            batch_first=True,
            norm_first=shape.pre_norm,
        )
        self.transformer = nn.Transformer(
            shape.d_model,
            shape.nhead,
            shape.encoder_layers,
            shape.decoder_layers,
            shape.feed_forward,
            shape.dropout,
            shape.activation,
            # As nn.Transformer's own, but nested tensors: they drop the padding, and warn.
            custom_encoder=nn.TransformerEncoder(
                encoder_layer,
                shape.encoder_layers,
                nn.LayerNorm(shape.d_model),
                enable_nested_tensor=False,
            ),
            batch_first=True,
            norm_first=shape.pre_norm,
        )
        # Multiplied by sqrt(d_model) on the way in, they have variance 1 there, and give
        # logits of variance 1 on the way out.
        nn.init.normal_(self.embedding.weight, std=shape.d_model**-0.5)
        with torch.no_grad():
            self.embedding.weight[PAD].zero_()
        self._set_inner_dropout()
        _dropout.replace(self)

    def _set_inner_dropout(self) -> None:
        shape = self.shape
        for module in self.transformer.modules():
            if isinstance(module, nn.MultiheadAttention) and shape.attention_dropout is not None:
                module.dropout = shape.attention_dropout
            if (
                isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer)
                and shape.activation_dropout is not None
            ):
                module.dropout = nn.Dropout(shape.activation_dropout)  # pyright: ignore

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """``source`` (batch, length) to memory (batch, length, d_model) and its padding mask."""
        padding = source == PAD
        memory = self.transformer.encoder(self._embed(source), src_key_padding_mask=padding)
        return memory, padding

    def states(self, target: Tensor, memory: Tensor, padding: Tensor) -> Tensor:
        """What the decoder makes of each token of ``target``, (batch, length, d_model)."""
        # Padding stands right of every real token, where the causal mask already hides it.
        mask = torch.ones(
            target.shape[1], target.shape[1], dtype=torch.bool, device=target.device
        ).triu(1)
        return self.transformer.decoder(
            self._embed(target),
            memory,
            tgt_mask=mask,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )

    def decode(self, target: Tensor, memory: Tensor, padding: Tensor) -> Tensor:
        """Scores (batch, length, vocabulary) of the token after each one of ``target``."""
        return functional.linear(self.states(target, memory, padding), self.embedding.weight)

    def loss(self, source: Tensor, target: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
        """:func:`loss_sum` of ``wanted``, the tokens after those of ``target``."""
        states = self.states(target, *self.encode(source))
        return loss_sum(states, self.embedding.weight, wanted, smoothing)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores (batch, target length, vocabulary)."""
        return self.decode(target, *self.encode(source))

    def _embed(self, tokens: Tensor) -> Tensor:
        scaled = self.embedding(tokens) * math.sqrt(self.shape.d_model)
        positions = self.get_buffer("positions")[: tokens.shape[1]]
        return self.dropout(scaled + positions)


def sinusoids(positions: int, d_model: int) -> Tensor:
    """The paper's position encodings, (positions, d_model): sines in even columns, cosines in odd.

    PE(p, 2i) = sin(p / 10000^(2i / d_model)), PE(p, 2i+1) the cosine (section 3.5).
    """
    place = torch.arange(positions, dtype=torch.float64)[:, None]
    slower = torch.pow(10000.0, -torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    table = torch.empty(positions, d_model, dtype=torch.float64)
    table[:, 0::2] = torch.sin(place * slower)
    table[:, 1::2] = torch.cos(place * slower)
    return table.float()


def padded(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Tensor:
    """Rows of tokens as one tensor (rows, longest)."""
    longest = max(map(len, rows))
    whole = [[*row, *[PAD] * (longest - len(row))] for row in rows]
    return torch.tensor(whole, dtype=torch.long, device=device)


def loss_sum(states: Tensor, table: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
    """The cross-entropy summed over all real tokens of ``wanted`` (batch, length), with
    ``smoothing`` of the probability spread evenly over the whole vocabulary.

    ``states`` (batch, length, d_model) are the decoder's, ``table`` (vocabulary, d_model) the
    embeddings. Scores are made and used a few rows at a time: those of a whole batch are
    160 MB at 4,096 tokens and a vocabulary of 10,000, and are read a dozen times.
    """
    flat = wanted.flatten()
    real = (flat != PAD).nonzero().squeeze(1)
    rows = states.flatten(0, 1).index_select(0, real)
    chosen = flat.index_select(0, real)
    arguments = (rows, table, chosen, smoothing, torch.is_grad_enabled())
    return _LossInParts.apply(*arguments)  # pyright: ignore[reportReturnType]


class _LossInParts(torch.autograd.Function):
    """The loss and, in the same pass, its gradients: nothing of the scores is kept."""

    @staticmethod
    def forward(  # noqa: PLR0917 (torch passes them by position)
        ctx: Any, rows: Tensor, table: Tensor, wanted: Tensor, smoothing: float, learn: bool
    ) -> Tensor:
        size = table.shape[0]
        # 8 MB of scores at a time on a CPU, so that they stay in its cache.
        step = max(1, (1 << 21 if rows.device.type == "cpu" else 1 << 27) // size)
        kept = table.to(rows.dtype)
        total = torch.zeros((), device=rows.device)
        by_row = torch.empty_like(rows) if learn else None
        by_table = torch.zeros_like(table) if learn else None
        for start in range(0, len(rows), step):
            part, right = rows[start : start + step], wanted[start : start + step, None]
            logs = (part @ kept.T).float().log_softmax(-1)
            total -= (1 - smoothing) * logs.gather(1, right).sum() + smoothing * logs.sum() / size
            if by_row is not None and by_table is not None:
                slope = logs.exp_().sub_(smoothing / size)
                less = torch.full_like(right, smoothing - 1, dtype=slope.dtype)
                slope.scatter_add_(1, right, less)
                slope = slope.to(rows.dtype)
                by_row[start : start + step] = slope @ kept
                by_table += slope.T @ part
        if learn:
            ctx.save_for_backward(by_row, by_table)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        by_row, by_table = ctx.saved_tensors
        return by_row * slopes[0], by_table * slopes[0], None, None, None


@torch.inference_mode()
def beam_search(
    model: Transformer,
    source: Sequence[Sequence[int]],
    *,
    beam: int = 4,
    length_penalty: float = 1.0,
    longest: int = 256,
) -> list[tuple[list[int], float]]:
    """Each source's best translation by torch alone: tokens, and log-probability / length ** p.

    The length counts the end mark. A search ends once ``beam`` translations have ended, which
    is CTranslate2's rule, so that the two can be compared. There is no cache: every step reads
    the whole prefix again, so this is a reference and not a server.
    """
    device = model.embedding.weight.device
    count = len(source)
    memory, padding = model.encode(padded(source, device))
    memory, padding = (one.repeat_interleave(beam, 0) for one in (memory, padding))
    prefixes = torch.full((count * beam, 1), START, device=device)
    # All beams of a text start alike: only the first may go on.
    totals = torch.full((count, beam), -math.inf, device=device)
    totals[:, 0] = 0
    ended: list[list[tuple[list[int], float]]] = [[] for _ in range(count)]
    done = [False] * count
    for step in range(1, longest + 1):
        scores = model.decode(prefixes, memory, padding)[:, -1].float().log_softmax(-1)
        size = scores.shape[-1]
        every = (totals[:, :, None] + scores.view(count, beam, size)).view(count, -1)
        best, places = every.topk(2 * beam)
        rows, kept_totals = [], []
        for text in range(count):
            found = [
                (total, place // size, place % size)
                for total, place in zip(best[text].tolist(), places[text].tolist(), strict=True)
            ]
            alive = [one for one in found[beam:] if one[2] != END]
            kept: list[tuple[float, int, int]] = []
            for total, origin, token in found[:beam]:
                if token != END and step < longest:
                    kept.append((total, origin, token))
                    continue
                if not done[text]:
                    prefix = prefixes[text * beam + origin, 1:].tolist()
                    whole = prefix if token == END else [*prefix, token]
                    ended[text].append((whole, total / step**length_penalty))
                kept.append(alive.pop(0) if alive else (-math.inf, origin, token))
            done[text] = done[text] or len(ended[text]) >= beam
            rows += [[*prefixes[text * beam + origin].tolist(), new] for _, origin, new in kept]
            kept_totals.append([total for total, _, _ in kept])
        if all(done):
            break
        prefixes = torch.tensor(rows, device=device)
        totals = torch.tensor(kept_totals, device=device)
    return [max(one, key=lambda pair: pair[1]) for one in ended]
