"""Pieces of one sentence with marks between them, translated together and cut apart again.

The marks (tags, changes of format, line breaks) keep their order, whatever the translator does:
only the places where its text is cut are chosen. A piece's place is found by translating it
alone too and looking for that in the whole; what is not found is placed by its share of the
length, at a word's edge. So no text is lost and nothing is ever unbalanced.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

from ogam.markup import glossary as terms
from ogam.markup.glossary import Term

T = TypeVar("T")
# Work that needs a translator: yields texts, is sent their translations, returns its result.
Work = Generator[list[str], Sequence[str], T]
# Beyond this many pieces in one segment (nobody writes such a sentence) none is looked for.
_MOST_PIECES = 300
# Of one piece, this many places where it may stand are weighed.
_MOST_PLACES = 8
_MARKS = ".,;:!?…。、，！？"
# Where a text may be cut: at a word's edge, and anywhere in scripts without spaces.
_EDGE = re.compile(rf"\b|(?<=\s)(?=\S)|(?<=\S)(?=\s)|(?=[{terms.WIDE}])")


class Piece(NamedTuple):
    """Text between two marks.

    ``fixed`` stands in the result as it is; a ``break`` stands for white space, which the
    translator sees as one space, and stays.
    """

    text: str
    kind: Literal["text", "fixed", "break"] = "text"

    @property
    def shown(self) -> str:
        """What the translator sees."""
        return " " if self.kind == "break" else self.text


Segment = Sequence[Piece]


class Slot(NamedTuple):
    """Where a piece stands in a template. ``raw``: it is not written as markup."""

    segment: int
    piece: int
    raw: bool = False


class Template(NamedTuple):
    """A text with its translatable pieces taken out. ``characters`` are code points of text."""

    parts: list[str | Slot]
    segments: list[list[Piece]]
    characters: int

    def fill(self, made: Sequence[Sequence[str]], encode: Callable[[str, bool], str]) -> str:
        """The text with ``made`` (for each segment its pieces) in the slots."""
        return "".join(
            part if isinstance(part, str) else encode(made[part.segment][part.piece], part.raw)
            for part in self.parts
        )


def wordy(text: str) -> bool:
    """Whether there is anything to translate."""
    return any(one.isalpha() for one in text)


def translate(segments: Sequence[Segment], glossary: Sequence[Term] = ()) -> Work[list[list[str]]]:
    """For each segment the text of each of its pieces, in order; the glossary is kept."""
    asked = [core(segment) if _wordy(segment) else "" for segment in segments]
    probes = [
        _probed(segment) if shown else [] for segment, shown in zip(segments, asked, strict=True)
    ]
    known = yield from _ask([*asked, *(text for row in probes for text in row if text)])
    found = terms.in_texts(asked, glossary)
    if any(found):
        yield from _keep_terms(known, asked, found)
    made: list[list[str] | None] = []
    for segment, shown, row, own in zip(segments, asked, probes, found, strict=True):
        if not shown:
            made.append([piece.text for piece in segment])
        elif terms.missing(shown, known[shown], own):
            made.append(None)
        else:
            made.append(_place(segment, _whole(segment, known[shown]), [known.get(t) for t in row]))
    again = [number for number, one in enumerate(made) if one is None]
    if again:
        second = yield from _with_fixed([segments[n] for n in again], [found[n] for n in again])
        for number, pieces in zip(again, second, strict=True):
            made[number] = pieces
    return [one for one in made if one is not None]


def _ask(texts: Sequence[str]) -> Work[dict[str, str]]:
    """Each different text once."""
    wanted = list(dict.fromkeys(text for text in texts if text))
    if not wanted:
        return {}
    made = yield wanted
    return dict(zip(wanted, made, strict=True))


def _keep_terms(
    known: dict[str, str], asked: Sequence[str], found: Sequence[Sequence[Term]]
) -> Work[None]:
    """Put missing terms where the translator put its own word for them."""
    lacking = {
        shown: missing
        for shown, own in zip(asked, found, strict=True)
        if shown and (missing := terms.missing(shown, known[shown], own))
    }
    alone = yield from _ask([term.source for missing in lacking.values() for term in missing])
    for shown, missing in lacking.items():
        for term in missing:
            known[shown] = terms.replace(
                known[shown], alone[term.source].strip(" .!?。"), term.target
            )


def _with_fixed(
    segments: Sequence[Segment], found: Sequence[Sequence[Term]]
) -> Work[list[list[str]]]:
    """What the translator changed though it may not: shown as the term, else kept from it."""
    split = [_split_terms(segment, own) for segment, own in zip(segments, found, strict=True)]
    known = yield from _ask([core(one) for one, _ in split])
    placed = [_place(one, _whole(one, known[core(one)]), [None] * len(one)) for one, _ in split]
    hidden = [[Piece("") if piece.kind == "fixed" else piece for piece in one] for one, _ in split]
    need = [n for n, one in enumerate(placed) if one is None]
    known = yield from _ask([core(hidden[n]) for n in need if _wordy(hidden[n])])
    for n in need:
        shown = core(hidden[n])
        text = _whole(hidden[n], known.get(shown, shown))
        rest = _place(hidden[n], text, [None] * len(hidden[n])) or []
        placed[n] = _filled(split[n][0], rest)
    return [
        _joined(pieces or [], owners) for pieces, (_, owners) in zip(placed, split, strict=True)
    ]


def _split_terms(segment: Segment, own: Sequence[Term]) -> tuple[list[Piece], list[int]]:
    """The segment with its terms as fixed pieces, and for each new piece the old one's number."""
    pieces: list[Piece] = []
    owners: list[int] = []
    for number, piece in enumerate(segment):
        parts = (
            [
                Piece(text, "fixed" if is_term else "text")
                for text, is_term in terms.cut(piece.text, own)
            ]
            if piece.kind == "text"
            else [piece]
        )
        pieces += parts
        owners += [number] * len(parts)
    return pieces, owners


def _joined(made: Sequence[str], owners: Sequence[int]) -> list[str]:
    joined = [""] * (owners[-1] + 1)
    for text, owner in zip(made, owners, strict=True):
        joined[owner] += text
    return joined


def _filled(segment: Segment, rest: Sequence[str]) -> list[str]:
    """The fixed pieces put back, with the spaces they had around them."""
    made = list(rest)
    for number, piece in enumerate(segment):
        if piece.kind != "fixed":
            continue
        made[number] = piece.text
        if number and segment[number - 1].kind == "text":
            space = segment[number - 1].text[-1:]
            if space.isspace():
                made[number - 1] = made[number - 1].rstrip() + space
        if number + 1 < len(segment) and segment[number + 1].kind == "text":
            space = segment[number + 1].text[:1]
            if space.isspace():
                made[number + 1] = space + made[number + 1].lstrip()
    return made


def _wordy(segment: Segment) -> bool:
    return any(wordy(piece.text) for piece in segment if piece.kind == "text")


def core(segment: Segment) -> str:
    """What the translator is shown of a segment: no white space around it."""
    return "".join(piece.shown for piece in segment).strip()


def _whole(segment: Segment, shown: str) -> str:
    """The translation with the source's own white space around it."""
    source = "".join(piece.shown for piece in segment)
    body = source.lstrip()
    return source[: len(source) - len(body)] + shown.strip() + body[len(body.rstrip()) :]


def _probed(segment: Segment) -> list[str]:
    """For each piece the text to translate alone, empty where its place follows from others."""
    texts = [piece.text.strip() if piece.kind == "text" else "" for piece in segment]
    texts = [text if wordy(text) else "" for text in texts]
    if sum(map(bool, texts)) < 2 or len(segment) > _MOST_PIECES:
        return [""] * len(texts)
    longest = max(range(len(texts)), key=lambda n: len(texts[n]))
    return [text if n != longest else "" for n, text in enumerate(texts)]


class _Anchor(NamedTuple):
    piece: int
    start: int
    end: int
    weight: float


def _place(segment: Segment, target: str, probes: Sequence[str | None]) -> list[str] | None:
    """Cut ``target`` into the segment's pieces; None where a fixed piece is not in it."""
    if len(segment) == 1:
        return [target]
    chain = _chain(_anchors(segment, target, probes))
    fixed = {n for n, one in enumerate(segment) if one.kind == "fixed" and one.text.strip()}
    if fixed - {one.piece for one in chain}:
        return None
    cuts = _cuts(segment, target, {one.piece: (one.start, one.end) for one in chain})
    made = [target[a:b] for a, b in zip([0, *cuts], [*cuts, len(target)], strict=True)]
    for n, piece in enumerate(segment):
        if piece.kind == "break":
            made[n] = piece.text + made[n].lstrip()
        elif piece.kind == "fixed":
            if made[n].strip() != piece.text.strip():
                return None  # it stands where text would have to go into it
            made[n] = piece.text
    return made


def _anchors(segment: Segment, target: str, probes: Sequence[str | None]) -> list[_Anchor]:
    source = sum(len(piece.shown) for piece in segment) or 1
    found: list[_Anchor] = []
    offset = 0
    for number, piece in enumerate(segment):
        middle = (offset + len(piece.shown) / 2) / source * len(target)
        offset += len(piece.shown)
        if piece.kind == "break" or (len(segment) > _MOST_PIECES and piece.kind != "fixed"):
            continue
        exact = piece.kind == "fixed"
        for text in _names(piece, probes[number]):
            places = _places(text, target, exact=exact or not wordy(text))
            places.sort(key=lambda place, at=middle: abs(place[0] - at))
            # Near its share of the text is likelier; found at all is worth more than near.
            worth = 1e6 if exact else len(text)
            found += [
                _Anchor(number, start, end, worth - abs(start - middle) / len(target))
                for start, end in places[:_MOST_PLACES]
            ]
            if places:
                break
    return found


def _names(piece: Piece, probe: str | None) -> list[str]:
    if piece.kind == "fixed":
        return [piece.text] if piece.text.strip() else []
    if not wordy(piece.text):
        # Marks and numbers: most translators copy them.
        return [text] if (text := piece.text.strip()) else []
    names = [probe, piece.text] if probe else []
    return [text for one in names if one and wordy(text := one.strip())]


def _places(text: str, target: str, *, exact: bool) -> list[tuple[int, int]]:
    if exact:
        return [one.span() for one in re.finditer(re.escape(text), target)]
    bare = text.strip(_MARKS)
    # Marks that the piece has are the piece's; the translator may have chosen others.
    before = f"[{_MARKS}]*" if not text.startswith(bare) else ""
    after = f"[{_MARKS}]*" if not text.endswith(bare) else ""
    pattern = before + terms.word(bare) + after
    return [one.span() for one in re.finditer(pattern, target, re.IGNORECASE)]


def _chain(anchors: Sequence[_Anchor]) -> list[_Anchor]:
    """The heaviest anchors that keep the pieces' order."""
    best: list[tuple[float, int]] = []
    for number, one in enumerate(anchors):
        weight, before = 0.0, -1
        for other in range(number):
            earlier = anchors[other]
            if earlier.piece < one.piece and earlier.end <= one.start and best[other][0] > weight:
                weight, before = best[other][0], other
        best.append((weight + one.weight, before))
    chain: list[_Anchor] = []
    at = max(range(len(best)), key=lambda n: best[n][0], default=-1)
    while at >= 0:
        chain.append(anchors[at])
        at = best[at][1]
    return chain[::-1]


def _cuts(segment: Segment, target: str, anchored: Mapping[int, tuple[int, int]]) -> list[int]:
    """Where each piece but the last ends in the target; never before the one in front of it."""
    source = "".join(piece.shown for piece in segment)
    starts = [0]
    for piece in segment:
        starts.append(starts[-1] + len(piece.shown))
    known: dict[int, int] = {}  # cut number -> place in the target
    sure: set[int] = set()
    lead = len(source) - len(source.lstrip())
    tail = len(source) - len(source.rstrip())
    # Words last: where two anchors differ on a cut, a word knows it better than a full stop.
    for piece, (start, end) in sorted(
        anchored.items(), key=lambda one: wordy(segment[one[0]].text)
    ):
        shown = segment[piece].shown
        inner = len(shown) - len(shown.lstrip()), len(shown) - len(shown.rstrip())
        exact = segment[piece].kind == "fixed"
        for cut, place, plain in ((piece - 1, start, not inner[0]), (piece, end, not inner[1])):
            if 0 <= cut < len(segment) - 1 and (exact or plain or cut not in known):
                if cut in sure and not exact:
                    continue
                known[cut] = place
                if exact:
                    sure.add(cut)
    ends = {(0, 0), (lead, lead), (len(source) - tail, len(target) - tail)}
    found = {(starts[cut + 1], place) for cut, place in known.items()}
    points = sorted({*ends, (len(source), len(target)), *found})
    edges = sorted({0, len(target), *(one.start() for one in _EDGE.finditer(target))})
    cuts: list[int] = []
    for cut in range(len(segment) - 1):
        at = starts[cut + 1]
        place = known.get(cut)
        if cut not in sure and (at <= lead or at >= len(source) - tail):
            # White space at the ends is the source's own.
            place = at if at <= lead else len(target) - (len(source) - at)
        elif place is None:
            place = _nearest(edges, _between(points, at))
        if cut not in sure and lead < at < len(source) - tail:
            place = _around_space(source, at, target, place)
        ceiling = min((known[later] for later in sure if later > cut), default=len(target))
        cuts.append(max(min(place, ceiling), cuts[-1] if cuts else 0))
    return cuts


def _between(points: Sequence[tuple[int, int]], at: int) -> float:
    left = max((point for point in points if point[0] <= at), default=points[0])
    right = min((point for point in points if point[0] >= at), default=points[-1])
    if right[0] <= left[0]:
        return left[1]
    return left[1] + (at - left[0]) / (right[0] - left[0]) * (right[1] - left[1])


def _nearest(edges: Sequence[int], place: float) -> int:
    at = bisect_left(edges, place)
    near = edges[max(0, at - 1) : at + 1]
    return min(near, key=lambda edge: abs(edge - place))


def _around_space(source: str, at: int, target: str, place: int) -> int:
    """The same side of the white space as in the source."""
    start = end = place
    while start > 0 and target[start - 1].isspace():
        start -= 1
    while end < len(target) and target[end].isspace():
        end += 1
    if start == end:
        return place
    return end if source[at - 1 : at].isspace() else start
