"""A small trigram model of sentences, as ARPA text. Knows nothing of speech."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

Gram = tuple[str, ...]
_START, _END = "<s>", "</s>"
# The decoder's own log of zero, for what is never said.
_NEVER = "-99"


def arpa(sentences: Iterable[list[str]], words: set[str], bigrams: int, trigrams: int) -> str:
    """The text of a model of ``words`` with about so many bigrams and just so many trigrams.

    Probabilities are interpolated by Witten and Bell's rule. Of the sequences seen twice and
    more those stay that say most beyond what the shorter ones say (Seymore and Rosenfeld's
    weighted difference), with the beginnings of the trigrams that stay. Numbers have one
    decimal: with two the files are larger by a sixth and nothing is gained.
    """
    seen = _counted(sentences, words)
    # A word of the dictionary counts once more, so that none is impossible.
    total = sum(seen[0].values()) + len(words) + 1
    told = [{(word,): (seen[0][word,] + 1) / total for word in (*words, _END)}]
    left: list[dict[Gram, float]] = [{}]
    for counts in seen[1:]:
        sums, kinds = Counter[Gram](), Counter[Gram]()
        for gram, count in counts.items():
            sums[gram[:-1]] += count
            kinds[gram[:-1]] += 1
        shorter = told[-1]
        told.append(
            {
                gram: (count + kinds[gram[:-1]] * shorter[gram[1:]])
                / (sums[gram[:-1]] + kinds[gram[:-1]])
                for gram, count in counts.items()
            }
        )
        left.append({before: kinds[before] / (sums[before] + kinds[before]) for before in sums})

    def best(order: int, most: int) -> set[Gram]:
        gains = {
            gram: count
            * math.log(told[order][gram] / (left[order][gram[:-1]] * told[order - 1][gram[1:]]))
            for gram, count in seen[order].items()
            if count > 1
        }
        return set(sorted(gains, key=lambda gram: (-gains[gram], gram))[:most])

    third = best(2, trigrams)
    second = best(1, bigrams) | {gram[:-1] for gram in third}
    kept = [
        told[0],
        *({gram: told[at][gram] for gram in ones} for at, ones in ((1, second), (2, third))),
    ]
    return _text(kept, _backing(kept))


def _counted(sentences: Iterable[list[str]], words: set[str]) -> list[Counter[Gram]]:
    """Sequences of one, two and three words; a word outside ``words`` parts a sentence."""
    seen = [Counter[Gram]() for _ in range(3)]
    for sentence in sentences:
        run = [_START]
        for word in (*sentence, _END, ""):
            if word in words or word == _END:
                run.append(word)
                continue
            for order, counts in enumerate(seen):
                counts.update(tuple(run[at : at + order + 1]) for at in range(len(run) - order))
            run = []
    del seen[0][_START,]
    return seen


def _backing(kept: list[dict[Gram, float]]) -> dict[Gram, float]:
    """By what the shorter sequence's probability is multiplied after each beginning."""
    weights: dict[Gram, float] = {}

    def probability(gram: Gram) -> float:
        factor = 1.0
        while gram not in kept[len(gram) - 1]:
            factor *= weights.get(gram[:-1], 1.0)
            gram = gram[1:]
        return factor * kept[len(gram) - 1][gram]

    for order in (1, 2):
        own, others = Counter[Gram](), Counter[Gram]()
        # In one order on every machine: sums of floats depend on it.
        for gram in sorted(kept[order]):
            own[gram[:-1]] += kept[order][gram]
            others[gram[:-1]] += probability(gram[1:])
        for before, sum_ in own.items():
            weights[before] = max(1 - sum_, 1e-4) / max(1 - others[before], 1e-4)
    return weights


def _text(kept: list[dict[Gram, float]], weights: dict[Gram, float]) -> str:
    lines = ["\\data\\"]
    sizes = (len(kept[0]) + 1, len(kept[1]), len(kept[2]))
    lines += [f"ngram {order}={size}" for order, size in enumerate(sizes, 1)]
    for order, grams in enumerate(kept, 1):
        lines += ["", f"\\{order}-grams:"]
        if order == 1:
            lines.append(f"{_NEVER} {_START} {_logarithm(weights.get((_START,), 1.0))}")
        for gram in sorted(grams):
            line = f"{_logarithm(grams[gram])} {' '.join(gram)}"
            lines.append(f"{line} {_logarithm(weights[gram])}" if gram in weights else line)
    return "\n".join([*lines, "", "\\end\\", ""])


def _logarithm(value: float) -> str:
    return f"{round(math.log10(value), 1) + 0.0:.1f}"
