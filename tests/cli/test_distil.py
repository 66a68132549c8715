"""The verb distil: its options and what it says; the work itself is in tests/training."""

import pytest


def test_help_lists_the_three_kinds(ogam):
    answer = ogam("distil", "--help")
    assert answer.code == 0
    assert all(one in answer.out for one in ("classifier", "translator", "language-model"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tiny", "--layers", "2"), "--tiny says the whole shape"),
        (("--label-name", "0"), "--label-name takes FROM=TO"),
        (("--threads", "0"), "--threads must be 1 or more"),
    ],
)
def test_wrong_use_is_one_line_and_2(ogam, arguments, said):
    answer = ogam("distil", "classifier", "x.tsv", "--teacher", "t", "-o", "r", *arguments)
    assert answer.code == 2 and said in answer.err and answer.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["translator", "language-model"])
def test_a_teacher_that_is_not_there_is_one_line_and_1(ogam, kind, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "text.txt").write_text("a\n")
    answer = ogam("distil", kind, "text.txt", "--teacher", "nowhere", "-o", "run")
    assert answer.code == 1 and "holds no run" in answer.err and answer.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_language_model_is_distilled_from_end_to_end(ogam, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "text.txt").write_text("the king went to the sea and sang of ships.\n" * 80)
    small = ("--d-model", "16", "--heads", "2", "--context", "16", "--batch", "4", "--steps", "4")
    made = ogam(
        *("train", "language-model", "text.txt", "-o", "big", "--vocabulary", "270"),
        *("--layers", "2", "--threads", "1", "--held-out", "0.2", *small),
    )
    assert made.code == 0, made.err
    command = ("distil", "language-model", "text.txt", "--teacher", "big", "-o", "small")
    answer = ogam(*command, "--layers", "1", "--steps", "4")
    assert answer.code == 0, answer.err
    rows = [line.split("\t") for line in answer.out.splitlines()]
    assert [row[0] for row in rows] == [
        *("parameters", "MB on disk", "tokens a second", "bits a byte"),
    ]
    assert "ctranslate2_generator/./small/model" in answer.err
    again = ogam(*command, "--layers", "1", "--steps", "4")
    assert again.code == 1 and "--resume" in again.err
