"""Short conversations for a small model to learn what one is: whose turn it is, what was said.

All of it is made up here by chance, out of the words in ``_dialogues.toml``. A model of six million
weights learns no knowledge of the world from it; it learns to look in the conversation for what is
asked, and to answer in the form that was asked for. Names are half of them drawn letter by letter,
so that they must be copied.

The order of the draws is part of the recipe: it makes the same conversations of the same seed.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something said: how it is said, how it is asked for, the answer, and its names in JSON."""

    said: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    whole: str = ""
    value: str | int
    only: str
    fields: tuple[str, ...]

    def of(self, values: Mapping[str, str | int]) -> Fact:
        """The same with ``values`` for the placeholders; ``value`` is the name of one of them."""
        return Fact(
            said=tuple(one.format_map(values) for one in self.said),
            asked=tuple(one.format_map(values) for one in self.asked),
            whole=self.whole.format_map(values),
            value=values[str(self.value)],
            only=self.only,
            fields=tuple(one.format_map(values) for one in self.fields),
        )


class _About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    drawn: dict[str, str | tuple[int, int]]
    facts: tuple[Fact, ...]


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file, field by field; it says itself what each is."""

    lists: dict[str, str | tuple[str, ...]]
    repeat: tuple[tuple[str, str], ...]
    only: dict[str, tuple[str, ...]]
    mine: _About
    theirs: _About
    talk: tuple[dict[str, tuple[str, ...]], ...]


_FILE = Path(__file__).with_suffix(".toml")
_DATA = msgspec.convert(tomllib.loads(_FILE.read_text(encoding="utf-8")), _Data)
_LISTS = {kind: one.split() if isinstance(one, str) else one for kind, one in _DATA.lists.items()}

_short = False


def _any(draw: Random, kind: str) -> str:
    return draw.choice(_LISTS[kind])


def _name(draw: Random) -> str:
    """A name: one that people have, or one that nobody has."""
    if draw.random() < 0.45:
        return _any(draw, "short" if _short and draw.random() < 0.4 else "names")
    made = _any(draw, "starts") + _any(draw, "vowels")
    for _ in range(draw.choice((0, 1, 1))):
        made += _any(draw, "consonants") + _any(draw, "vowels")
    return made + _any(draw, "ends")


def _facts(draw: Random, about: _About) -> list[Fact]:
    values: dict[str, str | int] = {}
    for placeholder, kind in about.drawn.items():
        if kind == "a name":
            values[placeholder] = _name(draw)
        elif isinstance(kind, str):
            values[placeholder] = _any(draw, kind)
        else:
            values[placeholder] = draw.randint(*kind)
    job = str(values["job"])
    values["a_job"] = f"an {job}" if job[0] in "aeiou" else f"a {job}"
    return [one.of(values) for one in about.facts]


def _mine(draw: Random) -> list[Fact]:
    """What someone says of themselves, in a random order."""
    facts = _facts(draw, _DATA.mine)
    draw.shuffle(facts)
    return facts


def _theirs(draw: Random) -> tuple[Fact, list[Fact]]:
    """What is said of someone else: the name, and one to three things at random."""
    who, *rest = _facts(draw, _DATA.theirs)
    draw.shuffle(rest)
    return who, rest[: draw.randint(1, 3)]


def _turn(asked: str, answer: str | int) -> str:
    return f"Q: {asked}\nA: {answer}"


def _question(draw: Random, fact: Fact) -> tuple[str, str | int]:
    """A question for the fact, and its answer: a sentence, or the value alone where asked so."""
    asked = draw.choice(fact.asked)
    if draw.random() >= 0.55:
        return asked, fact.whole
    only = draw.choice(_DATA.only[draw.choice((fact.only, "word"))])
    return (f"{asked} {only}" if draw.random() < 0.8 else f"{only} {asked}"), fact.value


def recall(draw: Random) -> str:
    """Something is said, perhaps much else, and then asked for."""
    facts = _mine(draw)[: draw.randint(1, 4)]
    if draw.random() < 0.35:
        _, facts = _theirs(draw)
    if draw.random() < 0.3:  # all in one message
        said = " ".join(draw.choice(one.said) for one in facts)
        asked, answer = _question(draw, draw.choice(facts))
        if draw.random() < 0.5:
            return _turn(f"{said} {asked}", answer)
        return _turn(said, _any(draw, "thanks")) + "\n" + _turn(asked, answer)
    turns: list[str] = []
    for one in facts:
        said, reply = draw.choice(one.said), _any(draw, "thanks")
        if one.only == "name" and "name" in one.fields and draw.random() < 0.7:
            reply = _any(draw, "greetings").format(value=one.value)
        turns.append(_turn(said, reply))
    wanted = draw.sample(facts, min(len(facts), draw.choice((1, 1, 2))))
    return "\n".join([*turns, *(_turn(*_question(draw, one)) for one in wanted)])


def unknown(draw: Random) -> str:
    """What nobody said is not known."""
    wanted, other, *_ = _mine(draw)
    before = ""
    if draw.random() < 0.5:
        before = _turn(draw.choice(other.said), _any(draw, "thanks")) + "\n"
    answer = _any(draw, "untold")
    return before + _turn(draw.choice(wanted.asked), answer)


def extract(draw: Random) -> str:
    """A text about someone, wanted as JSON: whole, or a value at a time as the server asks."""
    who, rest = _theirs(draw)
    text = " ".join(draw.choice(one.said) for one in rest)
    if draw.random() < 0.3:
        text = text.replace(f". {who.value}", " and", 1)
    wanted = _any(draw, "extract")
    facts = [who, *rest]
    if draw.random() < 0.3:
        draw.shuffle(facts)
    found = {draw.choice(one.fields): one.value for one in facts}
    request = (f"{text} {wanted}" if draw.random() < 0.8 else f"{wanted} {text}").strip()
    if draw.random() < 0.25:
        return _turn(request, json.dumps(found))
    at = draw.randrange(len(found))
    before, (field, value) = list(found.items())[:at], list(found.items())[at]
    label, kind = json.dumps(field), _kind(draw, value, rest)
    so_far = "".join(f"{json.dumps(key)}: {json.dumps(one)}, " for key, one in before)
    # Word for word what ogam.protocols.openai.structured says.
    asked = (
        f"The answer is written as JSON. So far: {{{so_far}{label}: \n"
        f"Now write {kind}, for {label}. Write nothing else."
    )
    return f"Q: {request}\n{_turn(asked, value)}"


def _kind(draw: Random, value: str | int, others: Sequence[Fact]) -> str:
    """What a value is, as the server names it: a number, a text, or one of several."""
    if isinstance(value, int):
        return "one number" if draw.random() < 0.2 else "one whole number"
    if draw.random() >= 0.15:
        return "a text"
    choices = {value, *(str(one.value) for one in others)}
    choices |= {_any(draw, "cities"), _any(draw, "jobs")}
    return "one of " + ", ".join(json.dumps(one) for one in sorted(choices))


def _words(draw: Random, least: int, most: int) -> list[str]:
    """Words that do not follow from each other: names, numbers, things."""
    made: list[str] = []
    for _ in range(draw.randint(least, most)):
        kind = draw.choice(("name", "name", "number", "things", "places", "foods", "cities"))
        if kind == "name":
            made.append(_name(draw))
        elif kind == "number":
            made.append(str(draw.randint(2, 9999)))
        else:
            made.append(_any(draw, kind))
    return made


def echo(draw: Random) -> str:
    """Words to say again that nothing but looking back can tell."""
    words = " ".join(_words(draw, 5, 24))
    return _turn(_any(draw, "echo").format(text=words), words)


def follow(draw: Random) -> str:
    """What came after a word, or before it."""
    words = list(dict.fromkeys(_words(draw, 4, 16)))
    at = draw.randrange(len(words) - 1)
    text = ", ".join(words)
    if draw.random() < 0.7:
        asked, answer = f"What comes after {words[at]}?", words[at + 1]
    else:
        asked, answer = f"What comes before {words[at + 1]}?", words[at]
    said = f"{text}. {asked}" if draw.random() < 0.7 else f"{asked} {text}."
    return _turn(said, answer)


def repeat(draw: Random, sentences: Sequence[str]) -> str:
    """A sentence to say again, or a word of it."""
    text = draw.choice(sentences)
    words = text.strip(".!?").split()
    values = {"text": text, "first": words[0], "last": words[-1], "capitals": words[-1].upper()}
    asked, answer = draw.choice(_DATA.repeat)
    return _turn(asked.format_map(values), answer.format_map(values))


def tale(draw: Random, tales: Sequence[str]) -> str:
    """The beginning of a tale."""
    return _turn(_any(draw, "tale"), draw.choice(tales))


def talk(draw: Random) -> str:
    """Small talk."""
    one = draw.choice(_DATA.talk)
    return _turn(draw.choice(one["asked"]), draw.choice(one["answers"]))


def sums(draw: Random) -> str:
    """Sums of small numbers."""
    one, two = draw.randint(0, 20), draw.randint(0, 20)
    if draw.random() < 0.5:
        one, two = max(one, two), min(one, two)
        sign, word, value = "-", "minus", one - two
    else:
        sign, word, value = "+", "plus", one + two
    return _turn(_any(draw, "sums").format(one=one, two=two, sign=sign, word=word), value)


def dialogues(
    count: int,
    seed: str,
    sentences: Sequence[str],
    tales: Sequence[str],
    percent: Sequence[int],
    *,
    short: bool = False,
) -> list[str]:
    """So many conversations, ``percent`` of each kind: recall, echo, extract, follow, repeat,
    talk, tale, unknown, sums.

    ``sentences`` are to repeat, ``tales`` beginnings of stories. With ``short`` some names have
    two to four letters, whose parts come in other words too.
    """
    global _short
    _short = short
    draw = Random(seed)
    again, told = partial(repeat, sentences=sentences), partial(tale, tales=tales)
    makers = (recall, echo, extract, follow, again, talk, told, unknown, sums)
    made: list[str] = []
    for maker in draw.choices(makers, percent, k=count):
        text = maker(draw)
        if draw.random() < 0.2:
            text = _any(draw, "system") + "\n" + text
        made.append(text)
    return made
