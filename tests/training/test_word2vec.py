"""Word2Vec: equal to gensim called directly, stopped and resumed, scored, and served."""

import json
import random
import subprocess
import sys
import time

import msgspec
import pytest

np = pytest.importorskip("numpy")
gensim = pytest.importorskip("gensim")
pytest.importorskip("torch")

from gensim.models import KeyedVectors, Word2Vec  # noqa: E402

from ogam import registry  # noqa: E402
from ogam.capabilities.embedding import EmbedRequest, cosine  # noqa: E402
from ogam.errors import InvalidRequestError  # noqa: E402
from ogam.training import word2vec as trainer  # noqa: E402
from ogam.training import word2vec_text  # noqa: E402
from ogam.training.runs import settings_of  # noqa: E402
from ogam.training.word2vec import Settings, score, train  # noqa: E402
from ogam.training.word2vec_text import Sentences  # noqa: E402

# Football in four sentences, as an exercise on word vectors would have it.
FOUR = ["he plays for the team", "she likes the team", "he scores a goal", "the team wins a cup"]


@pytest.fixture
def text(tmp_path):
    draw = random.Random(5)
    kinds = [["king", "queen", "prince"], ["sea", "ship", "sail"], ["bread", "salt", "soup"]]
    path = tmp_path / "text.txt"
    path.write_text(
        "".join(
            " ".join(draw.choice(kind) for _ in range(6)) + " the.\n"
            for kind in (draw.choice(kinds) for _ in range(300))
        )
    )
    return path


def settings(*paths, **changes):
    values = {"vector_size": 12, "min_count": 1, "epochs": 4, "seed": 3}
    return Settings(files=tuple(map(str, paths)), **{**values, **changes})


def vectors(folder):
    return KeyedVectors.load_word2vec_format(str(folder / "model" / "vectors.bin"), binary=True)


@pytest.mark.parametrize("sg", [0, 1])
def test_its_vectors_are_those_of_gensim_called_directly(text, tmp_path, sg):
    train(tmp_path / "run", settings(text, text="words", sg=sg, window=3))
    peer = Word2Vec(
        corpus_file=str(text),
        vector_size=12,
        window=3,
        min_count=1,
        sg=sg,
        epochs=4,
        seed=3,
        workers=1,
    ).wv
    ours = vectors(tmp_path / "run")
    assert ours.index_to_key == peer.index_to_key
    assert np.array_equal(ours.vectors, peer.vectors)


def test_four_sentences_give_the_cosine_of_he_and_team(tmp_path):
    path = tmp_path / "four.txt"
    path.write_text("".join(f"{line}\n" for line in FOUR))
    train(
        tmp_path / "run",
        Settings(files=(str(path),), vector_size=5, window=5, min_count=1, sg=0),
    )
    expected = Word2Vec(
        corpus_file=str(path), vector_size=5, window=5, min_count=1, sg=0, workers=1
    ).wv.similarity("he", "team")
    engine = registry.Registry().get(f"word2vec/{tmp_path / 'run' / 'model'}")
    he, team = engine.embed(EmbedRequest(texts=("he", "team"))).vectors
    assert cosine(he, team) == pytest.approx(float(expected), abs=1e-6)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("part", [16_000_000, 4_000], ids=["one part", "parts"])
def test_a_run_that_was_stopped_goes_on_to_the_same_vectors(text, tmp_path, monkeypatch, part):
    monkeypatch.setattr(word2vec_text, "_PART", part)
    train(tmp_path / "whole", settings(text, epochs=6))
    end = trainer._Watch.on_epoch_end

    def stopping(self, model):
        self._run.stop_asked = self._step == 1
        end(self, model)

    monkeypatch.setattr(trainer._Watch, "on_epoch_end", stopping)
    assert train(tmp_path / "parts", settings(text, epochs=6)) is None
    assert not (tmp_path / "parts" / "model").exists()
    monkeypatch.setattr(trainer._Watch, "on_epoch_end", end)
    assert settings_of(tmp_path / "parts", trainer.Settings) == settings(text, epochs=6)
    text.write_text("something else by now\n")  # the run has its own copy
    assert train(tmp_path / "parts", settings(text, epochs=6), resume=True) is not None
    assert np.array_equal(vectors(tmp_path / "parts").vectors, vectors(tmp_path / "whole").vectors)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 6  # one an epoch, however many parts it has
    assert not (tmp_path / "parts" / "text").exists()


def last_step(folder):
    return max((int(one.name[5:]) for one in (folder / "checkpoints").glob("step-*")), default=0)


def test_a_run_killed_twice_goes_on_to_the_same_vectors(text, tmp_path):
    wanted = settings(text, epochs=12)
    train(tmp_path / "whole", wanted)
    code = (
        "import sys, time, msgspec; from pathlib import Path\n"
        "from ogam.training import word2vec as t\n"
        "s = msgspec.json.decode(sys.argv[2], type=t.Settings)\n"
        "t._SAVING = 1e9\n"
        "end = t._Watch.on_epoch_end\n"
        "def slow(self, model):\n"
        "    end(self, model); time.sleep(0 if self._step <= model.done else 0.1)\n"
        "t._Watch.on_epoch_end = slow\n"
        "t.train(Path(sys.argv[1]), s, resume=len(sys.argv) > 3)"
    )
    out = tmp_path / "killed"
    for number, more in enumerate(([], ["resume"])):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(out), msgspec.json.encode(wanted).decode(), *more],
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + 120
        wanted_step = 3 + 4 * number
        while last_step(out) < wanted_step and time.monotonic() < limit:
            time.sleep(0.01)
        process.kill()
        assert process.wait() != 0
        assert wanted_step <= last_step(out) < 12
    assert not (out / "model").exists()
    assert train(out, wanted, resume=True) is not None
    assert np.array_equal(vectors(out).vectors, vectors(tmp_path / "whole").vectors)


def test_a_text_in_parts_loses_no_word_and_teaches_as_well(text, tmp_path, monkeypatch):
    monkeypatch.setattr(word2vec_text, "_PART", 3_000)
    corpus = word2vec_text.prepare(tmp_path / "parts", [text], "lines", 1)
    assert len(corpus.parts) > 3
    found = Sentences([tmp_path / "parts" / one.file for one in corpus.parts], "words")
    assert list(found) == list(Sentences([text], "lines"))
    assert sum(one.words for one in corpus.parts) == sum(corpus.counts.values()) == 300 * 7
    assert sum(one.sentences for one in corpus.parts) == 300
    train(tmp_path / "run", settings(text, epochs=30, workers=2))
    near = registry.Registry().get(f"word2vec/{tmp_path / 'run' / 'model'}").nearest("king", 2)
    assert {one.word for one in near} == {"queen", "prince"}


def test_a_text_that_was_only_half_prepared_is_prepared_again(text, tmp_path):
    half = tmp_path / "half"
    half.mkdir()
    (half / "part-00000.txt").write_text("half of ")
    corpus = word2vec_text.prepare(half, [text], "lines", 1)
    assert sum(one.words for one in corpus.parts) == 300 * 7
    assert "half" not in (half / "part-00000.txt").read_text()


@pytest.mark.parametrize("workers", [1, 3])
def test_the_learning_rate_ends_low_however_many_work(text, tmp_path, monkeypatch, workers):
    asked = []

    def seen(self, path, epoch, sentences, words, *_, **__):
        asked.append((epoch, sentences, words))
        return 0, 0, 0

    monkeypatch.setattr(Word2Vec, "_train_epoch_corpusfile", seen)
    train(tmp_path / "run", settings(text, epochs=2, workers=workers))
    # gensim lowers the rate by a worker's own sentences over this number.
    assert asked == [(0, 300 // workers, 2100), (1, 300 // workers, 2100)]


def test_gensim_says_nothing_of_its_own(text, tmp_path, caplog, capsys):
    train(tmp_path / "run", settings(text))
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_words_that_stand_together_come_near(text, tmp_path):
    train(tmp_path / "run", settings(text, epochs=30))
    engine = registry.Registry().get(f"word2vec/{tmp_path / 'run' / 'model'}")
    assert {one.word for one in engine.nearest("king", 2)} == {"queen", "prince"}
    assert (tmp_path / "run" / "loss.png").exists()
    assert (tmp_path / "run" / "model" / "words.png").read_bytes().startswith(b"\x89PNG")


def test_raw_text_is_cut_into_words_in_lower_case(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("The cat's paw, THE dog.\nIt's 3 o’clock\n\n고양이가 왔다!\n", encoding="utf-8")
    assert list(Sentences([path], "lines")) == [
        ["the", "cat's", "paw", "the", "dog"],
        ["it's", "3", "o’clock"],
        ["고양이가", "왔다"],
    ]
    joined = list(Sentences([path], "paragraphs"))
    assert [len(words) for words in joined] == [8, 2]
    assert next(iter(Sentences([path], "words"))) == ["The", "cat's", "paw,", "THE", "dog."]


def test_a_long_sentence_is_cut_and_no_word_is_lost(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("w " * 25_000)
    assert [len(one) for one in Sentences([path], "words")] == [10_000, 10_000, 5_000]


def test_scores_on_word_pairs_and_analogies(tmp_path):
    words = ["man", "woman", "king", "queen", "car"]
    table = KeyedVectors(vector_size=3)
    rows = [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [-1, 0.2, 0]]
    table.add_vectors(words, np.array(rows, np.float32))
    questions = tmp_path / "questions.txt"
    questions.write_text(
        ": family\nman woman king queen\nman king woman queen\nman woman boy girl\n"
    )
    found = score(table, questions)
    assert (found.kind, found.used, found.total) == ("analogy", 2, 3)
    assert found.value == 1.0
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("man\tking\t9\nman\tqueen\t7\nman\tcar\t1\nman\tunknown\t5\n")
    found = score(table, pairs)
    assert (found.kind, found.used, found.total) == ("similarity", 3, 4)
    assert found.value == pytest.approx(1.0)
    pairs.write_text("man\tking\t1\nman\tqueen\t7\nman\tcar\t9\n")
    assert score(table, pairs).value == pytest.approx(-1.0)
    pairs.write_text("nobody\tknows\t1\n")
    assert score(table, pairs).used == 0


def test_a_run_reports_its_scores(text, tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("king\tqueen\t9\nking\tsea\t1\nship\tsail\t8\nsoup\tprince\t2\n")
    outcome = train(tmp_path / "run", settings(text, epochs=30), evaluate=[pairs])
    assert outcome.words == 10
    (found,) = outcome.scores
    assert found.value > 0.5 and found.used == 4
    manifest = json.loads((tmp_path / "run" / "model" / "model.json").read_bytes())
    assert manifest["scores"][0]["value"] == found.value


def test_text_that_cannot_be_used_is_one_clear_line_and_leaves_no_folder(tmp_path):
    rare, empty = tmp_path / "rare.txt", tmp_path / "empty.txt"
    rare.write_text("one two three\n")
    blank, long, binary = (tmp_path / name for name in ("blank.txt", "long.txt", "binary.txt"))
    blank.write_text(" \n...\n\n")
    long.write_text("a b\n" + "word " * 210_000 + "\n")
    binary.write_bytes(b"\xff\xfe\x00a")
    empty.write_text("")
    for path, changes, message in (
        (rare, {"min_count": 2}, "No word stands 2 times"),
        (empty, {}, "is empty"),
        (blank, {}, "holds no words"),
        (long, {}, "line 2, is longer than 1,000,000 bytes"),
        (binary, {}, "line 1, is not UTF-8"),
        (tmp_path, {}, "There is no file"),
        (tmp_path / "none", {}, "There is no file"),
    ):
        with pytest.raises(InvalidRequestError, match=message) as caught:
            train(tmp_path / "run", settings(path, **changes))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_a_file_that_is_no_test_is_refused_before_the_work(text, tmp_path):
    with pytest.raises(InvalidRequestError, match="neither word pairs nor analogies"):
        train(tmp_path / "run", settings(text), evaluate=[text])
    assert not (tmp_path / "run").exists()


def test_text_that_changed_is_noticed_on_resuming(text, tmp_path):
    train(tmp_path / "run", settings(text))
    text.write_text("other words altogether\n" * 20)
    with pytest.raises(InvalidRequestError, match="have changed"):
        train(tmp_path / "run", settings(text), resume=True)


@pytest.mark.parametrize("changes", [{"vector_size": 0}, {"epochs": 0}, {"seed": -1}])
def test_settings_that_cannot_be_are_refused(text, changes):
    with pytest.raises(InvalidRequestError):
        settings(text, **changes)


def test_the_command_trains_and_prints_its_scores(text, tmp_path, capsys):
    typer = pytest.importorskip("typer")
    from ogam.cli.train_word2vec import app

    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("king\tqueen\t9\nking\tsea\t1\nship\tsail\t8\n")
    arguments = f"{text} -o {tmp_path / 'run'} --min-count 1 --vector-size 8 --evaluate {pairs}"
    typer.main.get_command(app).main(arguments.split(), standalone_mode=False)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "10 words"
    assert second.split("\t")[:2] == ["pairs", "similarity"]
