"""Marks stay where they belong, whatever the translator does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ogam.errors import InvalidRequestError
from ogam.markup import plain, tags
from ogam.markup.glossary import Term
from ogam.markup.likeness import alike
from ogam.markup.segments import Piece, Work, translate

WORDS = {
    "hello": "hallo", "world": "welt", "red": "rot", "house": "haus", "the": "das", "is": "ist",
    "big": "groß", "open": "öffne", "now": "jetzt", "i": "ich", "have": "habe", "seen": "gesehen",
    "him": "ihn",
}  # fmt: skip


def german(text: str) -> str:
    """Word for word, and a participle goes to the sentence's end as in German."""
    made = re.sub(r"\w+", lambda one: WORDS.get(one[0].lower(), one[0]), text)
    return re.sub(r"gesehen (\w+)", r"\1 gesehen", made)


TRANSLATORS: dict[str, Callable[[str], str]] = {
    "words": german,
    "tagged": lambda text: f"[de] {text}",
    "reversed": lambda text: " ".join(reversed(text.split())),
    "upper": str.upper,
    "short": lambda _: "x",
    "spaces": lambda text: f"  {text}\n",
}


def run(work: Work[list[list[str]]], translator: Callable[[str], str]) -> list[list[str]]:
    try:
        texts = next(work)
        while True:
            assert texts and all(text and text == text.strip() for text in texts)
            assert len(set(texts)) == len(texts)
            texts = work.send([translator(text) for text in texts])
    except StopIteration as end:
        return end.value


def html(
    text: str,
    translator: Callable[[str], str] = german,
    *,
    terms: Sequence[Term] = (),
    **options: object,
) -> str:
    template = tags.parse(text, tags.Options("html", join_lines=True, **options))
    return template.fill(run(translate(template.segments, terms), translator), tags.written_html)


def xml(text: str, translator: Callable[[str], str] = german, **options: object) -> str:
    template = tags.parse(text, tags.Options("xml", **options))
    return template.fill(run(translate(template.segments), translator), tags.written)


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("<p>Hello <b>world</b></p>", "<p>hallo <b>welt</b></p>"),
        ("<i>hello<b> world</b></i> now", "<i>hallo<b> welt</b></i> jetzt"),
        ("The <i>big <b>red</b></i> house", "das <i>groß <b>rot</b></i> haus"),
        ("<b>I</b> have seen <i>him</i>.", "<b>ich</b> habe <i>ihn</i> gesehen."),
        ("open &amp; now&nbsp;x &lt; y", "öffne &amp; jetzt&nbsp;x &lt; y"),
        ("hello<br>world", "hallo<br>welt"),
        ('<p translate="no">hello</p> world', '<p translate="no">hello</p> welt'),
        ("<script>var hello = '<b>';</script>world", "<script>var hello = '<b>';</script>welt"),
        ("<!-- hello --> world <img alt='a > b'>", "<!-- hello --> welt <img alt='a > b'>"),
        ("hello\n  world", "hallo\n  welt"),
    ],
)
def test_html_keeps_its_tags_around_the_words_they_were_around(given_, wanted):
    assert html(given_) == wanted


def test_xml_is_structure_where_no_words_stand_beside_an_element():
    asked: list[str] = []

    def noted(text: str) -> str:
        asked.append(text)
        return german(text)

    assert xml("<d><t>hello</t><t>the <b>red</b> house</t></d>", noted) == (
        "<d><t>hallo</t><t>das <b>rot</b> haus</t></d>"
    )
    assert asked[:2] == ["hello", "the red house"]


def test_tags_can_be_named_that_split_or_do_not():
    text = "<p>hello </p><p>world</p>"
    for options, sentences in (
        ({}, ["hello", "world"]),
        ({"non_splitting": ["p"]}, ["hello world"]),
        ({"outline": False}, ["hello world"]),
        ({"outline": False, "splitting": ["p"]}, ["hello", "world"]),
    ):
        template = tags.parse(text, tags.Options("xml", **options))
        shown = ["".join(one.text for one in segment).strip() for segment in template.segments]
        assert [one for one in shown if one] == sentences, options


@pytest.mark.parametrize("translator", TRANSLATORS.values(), ids=TRANSLATORS)
def test_ignored_tags_keep_their_text_in_the_sentence(translator):
    made = xml("open the <x>hello <y/>world</x> now", translator, ignored=["x"])
    assert made.count("<x>hello <y/>world</x>") == 1


def test_an_ignored_word_that_was_translated_is_put_back_with_its_spaces():
    assert xml("open <x>red</x> now", ignored=["x"]) == "öffne <x>red</x> jetzt"


@pytest.mark.parametrize("text", ["<a>", "</a>", "<a><b></a></b>", "<a/></a>"])
def test_xml_whose_tags_do_not_match_is_refused(text):
    with pytest.raises(InvalidRequestError):
        xml(text)


TAG = st.sampled_from(["b", "i", "p", "x", "div", "ns:q"])
WORD = st.text(st.sampled_from("abü.한国 \n&<>\u00a0'\""), max_size=12)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


TREE = st.recursive(
    WORD.map(escaped),
    lambda inner: st.one_of(
        st.tuples(TAG, st.lists(inner, max_size=4)).map(
            lambda one: f'<{one[0]} a="1>2">{"".join(one[1])}</{one[0]}>'
        ),
        st.sampled_from(["<br/>", "<!-- a < b -->", "<![CDATA[a <b> c]]>", "<?pi x?>"]),
    ),
    max_leaves=12,
)
DOCUMENTS = st.lists(TREE, max_size=5).map("".join)
# What stands outside text: tags, comments, instructions.
MARKUP = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<(?:[^<>\"]|\"[^\"]*\")*>", re.DOTALL
)


def outside(text: str) -> list[str]:
    return [one[:9] if one.startswith("<![CDATA[") else one for one in MARKUP.findall(text)]


@given(DOCUMENTS, st.sampled_from(sorted(TRANSLATORS)), st.booleans(), st.booleans())
def test_every_byte_outside_text_is_as_it_was(text, translator, outline, ignore):
    made = xml(text, TRANSLATORS[translator], outline=outline, ignored=["x"] if ignore else [])
    assert outside(made) == outside(text)


def said(template):
    text = "".join(one.text for segment in template.segments for one in segment)
    return re.sub(r"\s+", " ", text)


@given(st.text(st.sampled_from("ab <>/=\"'!-[]?&;p\n"), max_size=60))
@example("a\n<a> ;")
def test_any_text_at_all_passes_as_html_and_comes_back_when_nothing_changes(text):
    template = tags.parse(text, tags.Options("html", join_lines=True))
    made = template.fill(run(translate(template.segments), lambda one: one), tags.written_html)
    again = tags.parse(made, tags.Options("html", join_lines=True))
    kept = [[part for part in one.parts if isinstance(part, str)] for one in (template, again)]
    assert kept[0] == kept[1]
    # White space beside a line break is one with it, as in HTML; none comes or goes whole.
    assert said(again) == said(template)


PIECES = st.lists(
    st.tuples(
        st.text(st.sampled_from("ab cé。 ."), max_size=8),
        st.sampled_from(["text", "fixed", "break"]),
    ),
    min_size=1,
    max_size=7,
).map(lambda many: [Piece("\n" if kind == "break" else text, kind) for text, kind in many])


@given(PIECES, st.sampled_from(sorted(TRANSLATORS)))
def test_no_text_is_lost_and_none_is_twice(segment, name):
    asked: list[str] = []

    def noted(text: str) -> str:
        asked.append(text)
        return TRANSLATORS[name](text)

    (made,) = run(translate([segment]), noted)
    assert len(made) == len(segment)
    for piece, text in zip(segment, made, strict=True):
        if piece.kind == "fixed":
            assert text == piece.text
        if piece.kind == "break":
            assert text.startswith("\n")
    if not asked:
        assert made == [piece.text for piece in segment]
        return
    letters = "".join("".join(made).split())
    whole = {"".join(TRANSLATORS[name](one).split()) for one in asked}
    fixed = "".join("".join(piece.text.split()) for piece in segment if piece.kind == "fixed")
    assert letters in whole or sorted(letters) in [sorted(one + fixed) for one in whole]


@pytest.mark.parametrize("translator", TRANSLATORS.values(), ids=TRANSLATORS)
def test_a_glossary_is_kept_by_any_translator(translator):
    terms = [Term("red house", "Rotbau"), Term("house", "Bau"), Term("한국", "Korea")]
    made = html("The <b>red house</b> is a house.", translator, terms=terms)
    assert "Rotbau" in made and made.count("<b>") == 1
    assert "Korea" in html("한국에서 왔다", translator, terms=terms)


def test_a_term_takes_the_place_of_the_translators_own_word():
    assert html("the big house is red", terms=[Term("house", "Bau")]) == "das groß Bau ist rot"
    assert html("houses", terms=[Term("house", "Bau")]) == "houses"


@given(st.text(st.sampled_from("ab \n\r\t.x"), max_size=40), st.booleans())
def test_plain_text_comes_back_with_its_lines(text, join_lines):
    template = plain.parse(text, join_lines=join_lines)
    assert template.characters == len(text)
    made = run(translate(template.segments), str.upper)
    assert template.fill(made, plain.written) == text.upper()


def test_lines_are_sentences_or_parts_of_one():
    for join_lines, wanted in (
        (False, ["the red", "house", "is big"]),
        (True, ["the red house", "is big"]),
    ):
        template = plain.parse("the red\nhouse\n\nis big", join_lines=join_lines)
        shown = ["".join(one.shown for one in segment) for segment in template.segments]
        assert [one for one in shown if one] == wanted


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        ("Hello", "hallo.", "Hallo"),
        ("hello!", "Hallo", "Hallo!"),
        ("Hello?", "你好？", "你好？"),
        (" Hi. ", " hallo ", " Hallo. "),
    ],
)
def test_case_and_marks_at_the_ends_can_be_kept(source, target, wanted):
    assert alike(source, target) == wanted
