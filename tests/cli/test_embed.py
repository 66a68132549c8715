"""embed and similar: files of vectors, maps, tables of cosines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ogam as library

np = pytest.importorskip("numpy")
TEXTS = ["a cat sleeps", "a dog sleeps", "한국어 문장", "cost: $5 and $6"]


@pytest.fixture
def corpus() -> str:
    Path("lines.txt").write_text("\n".join([*TEXTS, "", ""]), encoding="utf-8")
    return "lines.txt"


@pytest.fixture
def wanted():
    return np.asarray(library.embed(TEXTS, model="fake").vectors)


def test_jsonl_is_the_default(ogam, corpus, wanted):
    printed = ogam("embed", "-f", corpus).out
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    assert np.array_equal(np.array([row["vector"] for row in rows], np.float32), wanted)
    assert ogam("embed", "-f", corpus, "-o", "x.jsonl").code == 0
    assert Path("x.jsonl").read_text(encoding="utf-8") == printed


def test_npy(ogam, corpus, wanted):
    assert ogam("embed", "-f", corpus, "-o", "x.npy").code == 0
    loaded = np.load("x.npy")
    assert loaded.dtype == np.float32
    assert np.array_equal(loaded, wanted)


def test_parquet(ogam, corpus, wanted):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert ogam("embed", "-f", corpus, "-o", "x.parquet").code == 0
    table = parquet.read_table("x.parquet")
    assert table["text"].to_pylist() == TEXTS
    assert np.array_equal(np.array(table["vector"].to_pylist(), np.float32), wanted)


def test_json_has_the_vectors_as_lists(ogam):
    told = json.loads(ogam("embed", "a", "b", "--dimensions", "3", "--json").out)
    assert [len(row) for row in told["vectors"]] == [3, 3]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_map_is_drawn_without_a_warning(ogam, count):
    pytest.importorskip("matplotlib")
    done = ogam("embed", *TEXTS[:count], "--plot", "map.png")
    assert done.code == 0
    assert done.out == ""
    assert "Warning" not in done.err
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")


def test_map_of_an_unknown_kind_is_refused_before_the_work(ogam):
    done = ogam("embed", "a", "--plot", "map.xyz")
    assert done.code == 1
    assert ".png" in done.err


def test_principal_components_keep_the_distances_of_a_plane():
    from ogam.cli.plotting import principal_components

    flat = np.random.default_rng(1).normal(size=(9, 2)).astype(np.float32)
    turned = np.hstack([flat, flat @ [[0.5, 1.0], [-1.0, 0.5]]]).astype(np.float32)
    points, shares = principal_components(turned)

    def distances(rows):
        return np.linalg.norm(rows[:, None] - rows[None], axis=-1)

    assert np.allclose(distances(points), distances(turned), atol=1e-5)
    assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_similar_prints_one_number_for_two_texts(ogam):
    same = ogam("similar", "a b", "a b")
    assert same.out == "1.0000\n"
    assert -1 <= float(ogam("similar", "a b", "c d").out) < 0.9


def test_similar_among_lines_puts_the_nearest_first(ogam, corpus):
    done = ogam("similar", "a dog sleeps", "--among", corpus, "--top", "2")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert rows[0] == ["a dog sleeps", "1.0000"]
    assert rows[1][0] == "a cat sleeps"
    piped = ogam("similar", "a dog sleeps", "--among", "-", given=Path(corpus).read_bytes())
    assert piped.out.splitlines()[:2] == done.out.splitlines()


def test_similar_of_several_is_a_table_of_all(ogam):
    done = ogam("similar", "a", "b", "a")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [row[0] for row in rows] == ["a", "b", "a"]
    assert rows[0][1] == rows[0][3] == "1.0000"
    told = json.loads(ogam("similar", "a", "b", "--json").out)
    assert told["texts"] == ["a", "b"]
    assert told["cosines"][0][0] == pytest.approx(1)


def test_similar_needs_two_texts(ogam):
    assert ogam("similar", "a").code == 2
    assert ogam("similar").code != 0


def test_the_path_of_a_file_stands_for_its_lines(ogam, corpus):
    printed = ogam("embed", corpus, "three").out
    texts = [json.loads(line)["text"] for line in printed.splitlines()]
    assert texts == [*TEXTS, "three"]


@pytest.fixture
def words() -> str:
    Path("words").mkdir()
    rows = {"man": "1 0 0", "woman": "1 1 0", "king": "1 0 1", "queen": "1 1 1", "car": "-3 .5 .2"}
    text = "".join(f"{word} {row}\n" for word, row in rows.items())
    Path("words/glove.txt").write_text(text)
    return "word2vec/./words"


def test_similar_finds_the_nearest_words_and_analogies(ogam, words):
    done = ogam("similar", "--nearest", "queen", "--top", "2", "-m", words)
    assert [line.split("\t")[0] for line in done.out.splitlines()] == ["woman", "king"]
    assert done.out.splitlines()[0] == "woman\t0.8165"
    assert len(ogam("similar", "--nearest", "queen", "-m", words).out.splitlines()) == 4
    done = ogam("similar", "--analogy", "man", "king", "woman", "-m", words, "--json")
    told = json.loads(done.out)
    assert told["words"] == ["man", "king", "woman"]
    assert told["nearest"][0]["word"] == "queen"
    assert ogam("similar", "--nearest", "queen", "-m", words, "-o", "near.tsv").out == ""
    assert Path("near.tsv").read_text().startswith("woman\t")


def test_similar_draws_a_map_of_words(ogam, words):
    pytest.importorskip("matplotlib")
    done = ogam("similar", "--map", "map.png", "king", "queen", "man", "-m", words)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--nearest", "kings"], "It knows king."),
        (["--analogy", "man", "king", "womann"], "It knows woman."),
        (["--map", "map.png", "king", "quen"], "It knows queen."),
        (["--nearest", "a b"], "does not know the word 'a b'"),
    ],
)
def test_a_word_the_model_does_not_know_is_one_line_with_near_ones(ogam, words, arguments, told):
    done = ogam("similar", *arguments, "-m", words)
    assert done.code == 1 and done.out == ""
    assert told in done.err and done.err.count("\n") == 1
    assert not Path("map.png").exists()


def test_a_model_without_words_says_so(ogam):
    for arguments in (["--nearest", "king"], ["--analogy", "man", "king", "woman"]):
        done = ogam("similar", *arguments, "-m", "fake")
        assert done.code == 1
        assert "no list of words" in done.err and "word2vec/./FOLDER" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["king", "--nearest", "queen"],
        ["--nearest", "a", "--analogy", "a", "b", "c"],
        ["--map", "map.png", "a", "b", "--json"],
        ["--map", "map.png", "--among", "lines.txt", "a"],
    ],
)
def test_ways_of_asking_that_exclude_each_other_are_refused(ogam, arguments):
    assert ogam("similar", *arguments, "-m", "fake").code == 2
