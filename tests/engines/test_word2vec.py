"""Word vectors: the three formats, the mean of a text, nearest words, analogies, damaged files."""

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import CancelledWork, ModelRef, cancellable
from ogam.capabilities.embedding import EmbedRequest
from ogam.engines.word2vec import Word2VecEngine, read
from ogam.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotConfiguredError,
    UnsupportedOptionError,
)

WORDS = {
    "man": [1.0, 0.0, 0.0],
    "woman": [1.0, 1.0, 0.0],
    "king": [1.0, 0.0, 1.0],
    "queen": [1.0, 1.0, 1.0],
    "it's": [0.0, -2.0, 0.0],
    "Paris": [0.0, 0.0, 2.0],
    "왕": [1.0, 0.1, 1.0],
    "car": [-3.0, 0.5, 0.25],
}


def text(words, *, heading):
    lines = [f"{len(words)} {len(next(iter(words.values())))}"] if heading else []
    lines += [" ".join([word, *map(str, row)]) for word, row in words.items()]
    return ("\n".join(lines) + "\n").encode()


def binary(words, *, line_feeds=False):
    data = f"{len(words)} {len(next(iter(words.values())))}\n".encode()
    for word, row in words.items():
        data += word.encode() + b" " + np.array(row, "<f4").tobytes() + b"\n" * line_feeds
    return data


FORMATS = {
    "word2vec.txt": text(WORDS, heading=True),
    "glove.txt": text(WORDS, heading=False),
    "some.vec": text(WORDS, heading=True),
    "plain.bin": binary(WORDS),
    "fed.bin": binary(WORDS, line_feeds=True),
}
FORMATS |= {f"{name}.gz": gzip.compress(data) for name, data in FORMATS.items()}


def make(folder):
    return Word2VecEngine(ModelRef(name="words", engine="word2vec", folder=folder))


@pytest.fixture
def engine(tmp_path):
    (tmp_path / "glove.txt").write_bytes(FORMATS["glove.txt"])
    return make(tmp_path)


def embed(engine, *texts, **options):
    return np.asarray(engine.embed(EmbedRequest(texts=texts, **options)).vectors)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_words_and_numbers(tmp_path, name):
    (tmp_path / name).write_bytes(FORMATS[name])
    words, vectors = read(tmp_path / name)
    assert words == list(WORDS)
    assert np.array_equal(vectors, np.array(list(WORDS.values()), np.float32))
    assert [one.word for one in make(tmp_path).nearest("queen", 1)] == ["왕"]


def test_gensim_writes_what_is_read_here_and_finds_the_same(tmp_path):
    models = pytest.importorskip("gensim.models")
    draw = np.random.default_rng(2)
    peer = models.KeyedVectors(vector_size=7)
    peer.add_vectors([f"w{n}" for n in range(50)], draw.normal(size=(50, 7)).astype(np.float32))
    peer.save_word2vec_format(str(tmp_path / "v.bin"), binary=True)
    engine = make(tmp_path)
    for word in ("w0", "w7", "w49"):
        ours, theirs = engine.nearest(word, 5), peer.most_similar(word, topn=5)
        assert [one.word for one in ours] == [one for one, _ in theirs]
        assert [one.cosine for one in ours] == pytest.approx([one for _, one in theirs], abs=1e-5)
    ours = engine.analogy("w1", "w2", "w3", 4)
    theirs = peer.most_similar(positive=["w2", "w3"], negative=["w1"], topn=4)
    assert [one.word for one in ours] == [one for one, _ in theirs]
    assert [one.cosine for one in ours] == pytest.approx([one for _, one in theirs], abs=1e-5)


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.bin.gz", "v.txt.gz", "glove.txt.gz"])
def test_what_keyed_vectors_of_gensim_save_is_read(tmp_path, name):
    models = pytest.importorskip("gensim.models")
    peer = models.KeyedVectors(vector_size=3)
    peer.add_vectors(list(WORDS), np.array(list(WORDS.values()), np.float32))
    peer.save_word2vec_format(
        str(tmp_path / name), binary="bin" in name, write_header="glove" not in name
    )
    words, rows = read(tmp_path / name)
    assert words == peer.index_to_key
    assert np.array_equal(rows, peer.vectors)


def test_an_unknown_word_is_answered_with_near_spellings(engine):
    for ask in (lambda: engine.nearest("kings"), lambda: embed(engine, "Kings")):
        with pytest.raises(InvalidRequestError) as caught:
            ask()
        assert caught.value.hint == "It knows king."
    with pytest.raises(InvalidRequestError, match="trained on and no other"):
        engine.analogy("man", "zzzzzz", "king")


def test_a_text_is_the_mean_of_its_known_words_at_length_one(engine):
    rows = embed(engine, "man king", "a man, unknown, and a king!")
    expected = np.array([2.0, 0.0, 1.0]) / np.sqrt(5)
    assert rows == pytest.approx(np.array([expected, expected]), abs=1e-6)
    result = engine.embed(EmbedRequest(texts=("man and king", "queen")))
    assert result.units.input_tokens == 3


def test_a_word_is_found_as_it_stands_in_lower_case_or_without_its_punctuation(engine):
    for text_, word in (
        ("KING", "king"),
        ("(king)", "king"),
        ("“It's”", "it's"),
        ("Paris", "Paris"),
        ("왕!", "왕"),
        ("man-eater", "man"),
    ):
        row = np.array(WORDS[word])
        assert embed(engine, text_)[0] == pytest.approx(row / np.linalg.norm(row), abs=1e-6)


def test_a_text_without_a_known_word_is_one_clear_line(engine):
    with pytest.raises(InvalidRequestError, match="knows no word of 'paris dog'") as caught:
        embed(engine, "man", "paris\ndog")
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidRequestError, match="does not know the word 'dog'"):
        engine.nearest("dog")


def test_words_that_cancel_out_have_no_direction(tmp_path):
    (tmp_path / "v.txt").write_bytes(text({"a": [1.0, 2.0], "b": [-1.0, -2.0]}, heading=False))
    assert embed(make(tmp_path), "a b").tolist() == [[0.0, 0.0]]


def test_fewer_dimensions_are_normalised_again_and_more_refused(engine):
    assert np.linalg.norm(embed(engine, "king man", dimensions=2)) == pytest.approx(1)
    with pytest.raises(UnsupportedOptionError, match="3 dimensions"):
        embed(engine, "king", dimensions=4)


def test_an_analogy_leaves_out_its_own_words(engine):
    assert engine.analogy("man", "king", "woman", 1)[0].word == "queen"
    assert {one.word for one in engine.analogy("man", "king", "woman", 100)} == set(WORDS) - {
        "man",
        "king",
        "woman",
    }
    assert engine.nearest("king", 0) == []


def test_callers_at_once_get_what_one_gets_alone(engine):
    alone = embed(engine, "man king").tolist()
    engine.close()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: embed(engine, "man king").tolist(), range(16)))
    assert all(one == alone for one in together)


def test_a_cancelled_caller_stops_the_work(engine):
    event = threading.Event()
    event.set()

    def work():
        cancellable(event)
        embed(engine, "man")

    with ThreadPoolExecutor(1) as pool, pytest.raises(CancelledWork):
        pool.submit(work).result()


def test_of_a_word_that_stands_twice_the_first_counts(tmp_path):
    (tmp_path / "v.txt").write_text("a 1 0\nb 0 1\na 0 -1\n")
    assert embed(make(tmp_path), "a").tolist() == [[1.0, 0.0]]


def test_a_word_may_hold_spaces(tmp_path):
    (tmp_path / "v.txt").write_text("a 1 0\n. . . 0 1\n")
    assert read(tmp_path / "v.txt")[0] == ["a", ". . ."]


def test_what_gensim_pickled_is_refused_with_the_way_to_convert_it(tmp_path):
    (tmp_path / "words.kv").write_bytes(b"\x80\x04")
    with pytest.raises(ConfigurationError, match="is a pickle") as caught:
        embed(make(tmp_path), "a")
    assert "save_word2vec_format" in str(caught.value) and "words.kv" in str(caught.value)


def test_no_file_two_files_and_no_folder_are_told_apart(tmp_path):
    with pytest.raises(ConfigurationError, match="holds no files of word vectors"):
        embed(make(tmp_path), "a")
    for name in ("a.txt", "b.bin"):
        (tmp_path / name).write_bytes(FORMATS["glove.txt"])
    with pytest.raises(ConfigurationError, match="holds 2 files of word vectors"):
        embed(make(tmp_path), "a")
    with pytest.raises(NotConfiguredError):
        embed(make(None), "a")


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"vectors": 3}', '{"vectors": "../x.bin"}'])
def test_a_broken_manifest_is_refused(tmp_path, manifest):
    (tmp_path / "model.json").write_text(manifest)
    with pytest.raises(ConfigurationError, match="no manifest of word vectors"):
        embed(make(tmp_path), "a")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("v.txt", b""),
        ("v.txt", b"word\n"),
        ("v.txt", b"a 1 2\nb 1\n"),
        ("v.txt", b"a 1 2\nb 1 x\n"),
        ("v.txt", b"a 1 nan\n"),
        ("v.bin", b""),
        ("v.bin", b"2 x\n"),
        ("v.bin", b"2 3\na 123"),
        ("v.bin", b"99999999999 300\na 123"),
        ("v.bin", binary(WORDS)[:-2]),
        ("v.bin.gz", b"no gzip"),
        ("v.bin.gz", FORMATS["plain.bin.gz"][:-9]),
        ("v.txt.gz", FORMATS["glove.txt.gz"][:20]),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigurationError, match="holds no word vectors") as caught:
        embed(make(tmp_path), "a")
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200), st.sampled_from([".txt", ".bin", ".bin.gz"]))
def test_no_bytes_bring_another_error(tmp_path_factory, data, ending):
    path = tmp_path_factory.mktemp("any") / f"v{ending}"
    path.write_bytes(data)
    try:
        words, vectors = read(path)
    except ConfigurationError:
        return
    assert len(words) == len(vectors)
