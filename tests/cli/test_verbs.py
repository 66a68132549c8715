"""Every verb with the fake engine: answers, files, JSON, standard input, and errors."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path

import pytest

from ogam import Audio, Image, Ogam

VERBS = ("generate", "speak", "see", "transcribe", "translate", "classify", "embed")


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_the_library_is_an_option_of_the_verb(verb):
    named = {"target": "to", "image": "pictures", "audio": "recordings", "prompt": "prompt"}
    has = set(
        inspect.signature(getattr(importlib.import_module(f"ogam.cli.{verb}"), verb)).parameters
    )
    for name in set(inspect.signature(getattr(Ogam, verb)).parameters) - {"self"}:
        assert has & {name, name.removesuffix("s"), f"{name}s", named.get(name)}, name


class TestGenerate:
    def test_prints_the_text_and_the_same_for_the_same_seed(self, ogam):
        first = ogam("generate", "a", "b", "--seed", "1", "--max-tokens", "3")
        assert first.code == 0
        assert len(first.out.split()) == 3
        piped = ogam("generate", "--seed", "1", "--max-tokens", "3", given=b"a b\n")
        assert piped.out == first.out

    def test_streams_the_same_text(self, ogam):
        whole = ogam("generate", "a", "--seed", "1").out
        assert ogam("generate", "a", "--seed", "1", "--stream").out == whole

    def test_streams_json_with_the_result_last(self, ogam):
        done = ogam("generate", "a", "--seed", "1", "-n", "2", "--stream", "--json")
        *pieces, last = [json.loads(line) for line in done.out.splitlines()]
        for index, choice in enumerate(last["choices"]):
            text = "".join(piece["text"] for piece in pieces if piece["index"] == index)
            assert text == choice["text"]

    def test_several_are_divided_by_a_line(self, ogam):
        done = ogam("generate", "a", "-n", "3", "--max-tokens", "2", "-o", "x.txt")
        assert done.out == ""
        assert Path("x.txt").read_text().count("\n---\n") == 2

    def test_stop_is_repeatable(self, ogam):
        done = ogam("generate", "a", "--seed", "1", "--stop", "one", "--stop", "two", "--json")
        text = json.loads(done.out)["choices"][0]["text"]
        assert "one" not in text
        assert "two" not in text


class TestSpeak:
    def test_without_a_terminal_it_asks_where_to(self, ogam):
        done = ogam("speak", "hi")
        assert done.code == 2
        assert "-o FILE" in done.err

    def test_json_describes_the_sound_and_leaves_the_bytes_out(self, ogam):
        done = ogam("speak", "hi", "you", "--voice", "bora", "-o", "x.wav", "--json")
        told = json.loads(done.out)
        size = Path("x.wav").stat().st_size
        assert told["audio"] == {"media_type": "audio/wav", "bytes": size}
        assert told["voice"] == "bora"
        assert told["units"]["characters"] == 6
        assert [word["text"] for word in told["words"]] == ["hi", "you"]

    def test_timings_are_a_line_a_word(self, ogam):
        done = ogam("speak", "hi", "you", "--timings")
        assert done.out == "0.000\t0.100\thi\n0.100\t0.250\tyou\n"

    def test_rate_changes_the_length(self, ogam):
        assert ogam("speak", "hello", "--rate", "2", "-o", "x.wav").code == 0
        assert Audio("x.wav").duration == pytest.approx(0.125)

    def test_several_files_go_into_a_folder_and_a_bad_one_stops_no_other(self, ogam):
        Path("a.txt").write_text("hello")
        Path("b.txt").write_bytes(b"\xb0\xa1\xb3\xaa")  # Korean, but in EUC-KR
        Path("c.txt").write_text("you there")
        done = ogam("speak", "-f", "a.txt", "b.txt", "c.txt", "-o", "out/")
        assert done.code == 1
        assert sorted(path.name for path in Path("out").iterdir()) == ["a.wav", "c.wav"]
        bad, summary = done.err.splitlines()
        assert bad.startswith("ogam: error: b.txt")
        assert "UTF-8" in bad
        assert summary.startswith("ogam: 3 files, 1 failed")

    def test_several_files_need_a_folder(self, ogam):
        Path("a.txt").write_text("hello")
        assert ogam("speak", "-f", "a.txt", "a.txt").code == 2
        assert ogam("speak", "-f", "a.txt", "a.txt", "-o", "out/").code == 2
        assert ogam("speak", "-f", "a.txt", "missing.txt", "-o", "a.txt").code == 2
        assert Path("a.txt").read_text() == "hello"


class TestSee:
    def test_prints_the_text_then_the_findings(self, ogam, picture):
        done = ogam("see", picture("a.png"))
        word, *findings = done.out.splitlines()
        assert word.isalpha()
        assert f"barcode\tQR_CODE {word}\t\t0\t0\t3\t3" in findings
        assert "color\t#0a141e\t1.00" in findings

    def test_only_the_features_asked_for(self, ogam, picture):
        done = ogam("see", picture("a.png"), "--features", "faces,labels", "--json")
        told = json.loads(done.out)
        assert told["features"] == ["faces", "labels"]
        assert told["faces"] and told["labels"] and not told["objects"]
        assert told["image"]["media_type"] == "image/png"
        assert told["file"] == "a.png"

    def test_an_unknown_feature_names_the_known(self, ogam, picture):
        done = ogam("see", picture("a.png"), "--features", "smell")
        assert done.code == 1
        assert "smell" in done.err
        assert "crop_hints" in done.err

    def test_several_pictures_come_in_order_and_a_bad_one_stops_no_other(self, ogam, picture):
        names = [picture(f"{at}.png", at) for at in range(5)]
        Path("2.png").write_text("no picture")
        done = ogam("see", "--json", *names)
        assert done.code == 1
        files = [json.loads(line)["file"] for line in done.out.splitlines()]
        assert files == ["0.png", "1.png", "3.png", "4.png"]
        assert done.err.count("\n") == 2
        assert "2.png" in done.err

    def test_headings_tell_several_pictures_apart(self, ogam, picture):
        done = ogam("see", picture("a.png"), picture("b.png", 3), "--features", "text")
        assert done.out.count("==> ") == 2

    def test_draws_into_a_file_and_never_over_an_input(self, ogam, picture):
        done = ogam("see", picture("a.png"), "--draw", "drawn.png")
        assert done.code == 0
        assert Image("drawn.png").size == (32, 32)
        before = Path("a.png").read_bytes()
        assert ogam("see", "a.png", "--draw", "a.png").code == 2
        assert Path("a.png").read_bytes() == before

    def test_reads_standard_input(self, ogam, picture):
        data = Path(picture("a.png")).read_bytes()
        assert ogam("see", "-", given=data).out == ogam("see", "a.png").out


class TestTranscribe:
    def test_formats(self, ogam, sound):
        name = sound("a.wav")
        text = ogam("transcribe", name).out
        assert len(text.split()) == 3
        srt = ogam("transcribe", name, "--format", "srt").out
        assert srt == f"1\n00:00:00,000 --> 00:00:01,200\n{text}"
        vtt = ogam("transcribe", name, "--format", "vtt").out
        assert vtt == f"WEBVTT\n\n00:00:00.000 --> 00:00:01.200\n{text}"
        told = json.loads(ogam("transcribe", name, "--format", "json").out)
        assert told["text"] == text.strip()
        assert told == {
            **json.loads(ogam("transcribe", name, "--json").out),
            "timing": told["timing"],
        }

    def test_several_files_into_a_folder(self, ogam, sound):
        names = [sound("a.wav"), sound("b.wav", 3)]
        done = ogam("transcribe", *names, "missing.wav", "--format", "srt", "-o", "out")
        assert done.code == 1
        assert sorted(path.name for path in Path("out").iterdir()) == ["a.srt", "b.srt"]
        assert "missing.wav" in done.err
        assert "3 files, 1 failed" in done.err

    def test_stream_gives_the_same_text(self, ogam, sound):
        name = sound("a.wav")
        assert ogam("transcribe", name, "--stream").out == ogam("transcribe", name).out
        *news, last = ogam("transcribe", name, "--stream", "--json").out.splitlines()
        assert json.loads(news[0])["segment"] is None
        assert json.loads(news[-1])["text"] == json.loads(last)["text"]

    def test_headerless_sound_is_taken_with_pcm(self, ogam, sound):
        name = sound("a.wav")
        samples = Audio(name).pcm().data
        heard = ogam("transcribe", name).out
        assert ogam("transcribe", "--pcm", "-", given=samples).out == heard
        assert ogam("transcribe", "--pcm", "--stream", "-", given=samples).out == heard

    def test_options_reach_the_engine(self, ogam, sound):
        name = sound("a.wav")
        assert (
            json.loads(ogam("transcribe", name, "--language", "ko", "--json").out)["language"]
            == "ko"
        )
        unknown = ogam("transcribe", name, "--language", "xx")
        assert unknown.code == 1
        assert "xx" in unknown.err
        Path("g.jsgf").write_text("#JSGF V1.0; grammar g; public <g> = yes | no;")
        assert ogam("transcribe", name, "--grammar", "g.jsgf").code == 0
        both = ogam("transcribe", name, "--grammar", "g.jsgf", "--keyword", "yes /1e-10/")
        assert both.code == 1
        assert "not both" in both.err
        assert ogam("transcribe", name, "--keyword", "yes /1e/").code == 2


class TestTranslate:
    def test_each_line_of_a_file_is_a_text_and_blank_lines_stay(self, ogam):
        done = ogam("translate", "--to", "de", given=b"a b\n\nc\n")
        assert done.out == "[de] a b\n\n[de] c\n"

    def test_glossary(self, ogam):
        Path("terms.tsv").write_text("cat\tKatze\n\n")
        done = ogam(
            "translate", "--to", "de", "--glossary", "terms.tsv", "a cat", "x", "-o", "x.txt"
        )
        assert done.code == 0
        assert Path("x.txt").read_text() == "[de] a Katze\n[de] x\n"
        Path("terms.tsv").write_text("cat\tKatze\nno tab\n")
        bad = ogam("translate", "--to", "de", "--glossary", "terms.tsv", "a cat")
        assert bad.code == 1
        assert "line 2" in bad.err

    def test_json_and_source(self, ogam):
        told = json.loads(ogam("translate", "--to", "de", "--from", "fr", "a", "--json").out)
        assert told["target"] == "de"
        assert told["translations"] == [{"text": "[de] a", "source": "fr"}]

    def test_alternatives_stand_on_the_line_of_their_text(self, ogam):
        done = ogam("translate", "--to", "de", "--alternatives", "3", "a", "b")
        assert done.out == "[de] a\t[de] a (2)\t[de] a (3)\n[de] b\t[de] b (2)\t[de] b (3)\n"
        command = ("translate", "--to", "de", "a", "--alternatives")
        told = json.loads(ogam(*command, "2", "--json").out)
        assert told["translations"][0]["alternatives"] == ["[de] a (2)"]
        for count in ("0", "21"):
            bad = ogam(*command, count)
            assert bad.code == 1 and "from 1 to 20" in bad.err

    def test_formality_is_one_of_five(self, ogam):
        assert ogam("translate", "--to", "de", "--formality", "prefer_less", "a").code == 0
        assert ogam("translate", "--to", "de", "--formality", "rude", "a").code == 2


class TestClassify:
    def test_one_text_shows_every_label(self, ogam):
        rows = [line.split("\t") for line in ogam("classify", "good film").out.splitlines()]
        assert {row[0] for row in rows} == {"POSITIVE", "NEGATIVE"}
        assert float(rows[0][1]) >= float(rows[1][1])

    def test_lines_of_standard_input(self, ogam):
        done = ogam("classify", "-l", "x", "-l", "y", given="좋아요\n\nbad\tfilm\n".encode())
        rows = [line.split("\t") for line in done.out.splitlines()]
        assert [row[2] for row in rows] == ["좋아요", "bad film"]
        assert {row[0] for row in rows} <= {"x", "y"}

    def test_one_label_is_refused(self, ogam):
        done = ogam("classify", "a", "--label", "x")
        assert done.code == 1
        assert "two or more" in done.err


class TestVoicesAndModels:
    def test_voices_of_a_language(self, ogam):
        assert ogam("voices").out.count("\n") == 3
        assert ogam("voices", "--language", "ko").out == "bora\tBora\tko\tfemale\n"
        assert json.loads(ogam("voices", "--language", "ko", "--json").out)["id"] == "bora"
        none = ogam("voices", "--language", "xx")
        assert none.code == 1
        assert "'xx'" in none.err

    def test_models_of_a_collection(self, ogam, tmp_path, monkeypatch):
        import hashlib

        from ogam.models import store

        folder = tmp_path / "models" / "tiny"
        folder.mkdir(parents=True)
        (folder / "w.bin").write_bytes(b"weights")
        (folder / "CARD.md").write_text("# Tiny\n\nA *card*.\n")
        manifest = {
            "name": "tiny",
            "engine": "fake",
            "capabilities": ["embed"],
            "files": {"w.bin": hashlib.sha256(b"weights").hexdigest()},
            "licence": "MIT",
            "source": "here",
        }
        (folder / "model.json").write_text(json.dumps(manifest))
        monkeypatch.setattr(store, "collections_found", lambda: ["starter"])
        monkeypatch.setattr(
            store, "collection", lambda name: folder.parent if name == "starter" else None
        )
        assert ogam("models", "list").out.startswith("starter/tiny\tfake\tembed\t0.0 MB\tMIT")
        told = json.loads(ogam("models", "list", "--json").out)
        assert (told["model"], told["licence"]) == ("starter/tiny", "MIT")
        assert ogam("models", "show", "starter/tiny").out == "# Tiny\n\nA *card*.\n"
        assert ogam("models", "verify").out == "starter/tiny\tok\n"
        (folder / "w.bin").write_bytes(b"other")
        damaged = ogam("models", "verify", "starter/tiny")
        assert damaged.code == 1
        assert "w.bin" in damaged.err
        unknown = ogam("models", "show", "nothing")
        assert unknown.code == 1
        assert "starter/tiny" in unknown.err


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("speak", "x", "-o", "x.wav", "--model", "fakke"), "fake"),
            (("speak", "x", "-o", "x.wav", "--voice", "nobody"), "ada"),
            (("speak", "x", "-o", "x.wav", "--language", "xx"), "xx"),
            (("speak", "x", "-o", "x.xyz"), ".wav"),
            (("speak", "x", "-o", "no/such/x.wav"), "mkdir"),
            (("speak", "x", "--rate", "9", "-o", "x.wav"), "rate"),
            (("transcribe", "missing.wav"), "missing.wav"),
            (("generate", "x", "--temperature", "nan"), "temperature"),
            (("embed", "x", "-o", "x.csv"), ".npy"),
            (("generate", "\udcff"), "UTF-8"),
            (("see", "https://example.com/x.png"), "does not fetch"),
        ],
    )
    def test_one_line_that_says_what_to_do(self, ogam, arguments, told):
        done = ogam(*arguments)
        assert done.code == 1
        assert done.out == ""
        assert done.err.count("\n") == 1
        assert done.err.startswith("ogam: error: ")
        assert told in done.err
        assert list(Path().iterdir()) == []

    def test_a_broken_configuration_names_its_file(self, ogam, monkeypatch):
        Path("ogam.toml").write_text("[routs]\n")
        done = ogam("generate", "x")
        assert done.code == 1
        assert "ogam.toml" in done.err
        assert "routs" in done.err

    def test_an_existing_file_survives_a_failure(self, ogam):
        Path("x.wav").write_bytes(b"precious")
        assert ogam("speak", "x", "-o", "x.wav", "--voice", "nobody").code == 1
        assert Path("x.wav").read_bytes() == b"precious"


class TestDoctor:
    def test_says_what_is_missing_and_what_mends_it(self, ogam, monkeypatch):
        monkeypatch.setenv("OGAM_ROUTE_CLASSIFY", "nothing/x")
        monkeypatch.setenv("OGAM_ROUTE_GENERATE", "")
        done = ogam("doctor", "--json")
        assert done.code == 1
        told = json.loads(done.out)
        states = {check["capability"]: check for check in told["checks"]}
        assert states["speak"]["state"] == "ready"
        assert states["generate"]["state"] == "not configured"
        assert "ogam.toml" in states["generate"]["fix"]
        assert states["classify"]["state"] == "broken"
        assert "nothing" in states["classify"]["reason"]

    def test_a_missing_package_is_mended_by_the_install_line(self, ogam, monkeypatch):
        from ogam.engines.fake import FakeEngine

        monkeypatch.setattr(FakeEngine, "requires", ("no_such_package",))
        monkeypatch.setattr(FakeEngine, "extra", "local")
        done = ogam("doctor")
        assert done.code == 1
        assert "not installed: no_such_package\tpip install 'ogam[local]'" in done.out

    def test_what_is_not_configured_is_no_failure(self, ogam, monkeypatch):
        monkeypatch.setenv("OGAM_ROUTE_TRANSLATE", "")
        assert ogam("doctor").code == 0

    def test_probe_tries_every_engine(self, ogam, monkeypatch):
        from ogam.engines.fake import FakeEngine

        checks = json.loads(ogam("doctor", "--probe", "--json").out)["checks"]
        assert len(checks) == 7
        assert all(isinstance(check["probe_ms"], int) for check in checks)

        def broken(*_: object) -> None:
            raise ValueError("no sound today")

        monkeypatch.setattr(FakeEngine, "speak", broken)
        done = ogam("doctor", "--probe")
        assert done.code == 1
        assert "no sound today" in done.out
