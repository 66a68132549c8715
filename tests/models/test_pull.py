"""Models from the hub and from folders: whole and as published, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ogam import registry
from ogam.client import Ogam
from ogam.errors import (
    ConfigurationError,
    DownloadError,
    InvalidRequestError,
    NotFoundError,
    OgamError,
    OutputError,
    UnknownModelError,
    UntrainedHeadError,
)
from ogam.models import choice, download, store
from ogam.models.pull import Request, Watch, pull, remove, unfinished

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")
CONFIG = b'{"model_type": "bert"}'


def models() -> Path:
    return store.local_folder()


def left() -> list[str]:
    """Every file under the models' folder but locks."""
    files = (one for one in models().rglob("*") if one.is_file() and one.suffix != ".lock")
    return sorted(one.relative_to(models()).as_posix() for one in files)


def start(*arguments: str, **settings: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ogam", "models", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **settings,
    )


def one_line(error: pytest.ExceptionInfo[OgamError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert error.value.hint
    return text


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a tiny BERT without a head, as transformers saves them."""
    pytest.importorskip("torch")
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world"]
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=7, num_hidden_layers=1, **sizes)).save_pretrained(folder)
    inner = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    more = {"sep_token": "[SEP]", "mask_token": "[MASK]"}
    PreTrainedTokenizerFast(tokenizer_object=inner, **marks, **more).save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestFromTheHub:
    def test_a_pulled_model_answers_and_its_manifest_tells_where_it_came_from(self, hub, ready):
        made = hub.add("ada/tiny", ready())
        assert pull(Request(source="ada/tiny")) == "local/tiny"
        about = store.manifest("local", "tiny")
        assert about.source == f"{hub.url}/ada/tiny/tree/{made.commit}"
        assert (about.engine, about.licence, about.capabilities) == ("fake", "MIT", ("embed",))
        assert store.damaged_files("local", "tiny") == []
        with Ogam() as ogam:
            assert ogam.embed("x", model="local/tiny").model == "local/tiny"
        # What the engine reads beside the manifest's own fields is kept.
        raw = json.loads((models() / "tiny" / "model.json").read_text())
        assert raw["dimensions"] == 7
        assert left() == ["tiny/CARD.md", "tiny/model.json", "tiny/weights.bin"]

    def test_another_programs_model_is_converted_once(self, hub, safetensors, kept):
        files = {
            "config.json": CONFIG,
            "model.safetensors": safetensors(5000),
            "README.md": b"---\nlicense: apache-2.0\n---\n# Bert\n\nSmall.\n",
            "tokenizer.json": b"{}",
            "pytorch_model.bin": b"never fetched",
            "tf_model.h5": b"never fetched",
            "onnx/model.onnx": b"never fetched",
            "modeling.py": b"never fetched",
        }
        hub.add("ada/bert", files)
        pull(Request(source="ada/bert", capability="classify", quantize="int8"))
        assert kept == [("classify", "int8")]
        assert {Path(one.path).name for one in hub.asked} == {
            "config.json",
            "model.safetensors",
            "README.md",
            "tokenizer.json",
        }
        about = store.manifest("local", "bert")
        assert about.licence == "apache-2.0"
        assert about.files["model.safetensors"] == hashlib.sha256(safetensors(5000)).hexdigest()
        card = store.card("local", "bert")
        assert card.startswith("# bert\n\nFrom http")
        assert "int8" in card
        assert card.endswith("# Bert\n\nSmall.\n")
        asked = len(hub.asked)
        pull(Request(source="ada/bert", capability="classify", quantize="int8"))
        assert (len(hub.asked), len(kept)) == (asked, 1), "it is here: nothing is done again"

    def test_an_untrained_head_that_is_let_through_marks_all_it_says(self, hub, encoder):
        hub.add("a/b", encoder)
        name = pull(Request(source="a/b", capability="classify", allow_untrained=True))
        assert store.manifest("local", "b").untrained
        with Ogam() as ogam:
            assert ogam.classify("hello world", model=name).untrained
            assert not ogam.classify("hello world", ("x", "y"), model="fake").untrained

    def test_a_head_that_was_never_trained_is_refused_with_the_way_on(self, hub, encoder):
        hub.add("a/b", encoder)
        with pytest.raises(UntrainedHeadError, match="a/b was not trained to classify") as error:
            pull(Request(source="a/b", capability="classify"))
        assert "ogam models pull a/b --as-is" in one_line(error)
        assert f"--model {models() / 'b'} " in str(error.value)
        assert left() == []
        pull(Request(source="a/b", as_is=True))
        assert store.manifest("local", "b").engine == "transformers"
        assert (models() / "b" / "model.safetensors").is_file()

    def test_an_encoder_is_converted_and_answers(self, hub, encoder):
        hub.add("a/b", encoder)
        assert pull(Request(source="a/b", capability="embed")) == "local/b"
        about = store.manifest("local", "b")
        assert (about.engine, about.licence) == ("onnx_encoder", "apache-2.0")
        assert store.damaged_files("local", "b") == []
        with Ogam() as ogam:
            assert ogam.embed("hello", model="local/b").vectors.dimensions == 8

    def test_weights_of_another_architecture_are_refused(self, hub, encoder, safetensors):
        hub.add("a/b", {**encoder, "model.safetensors": safetensors(10)})
        with pytest.raises(OgamError, match="a/b") as error:
            pull(Request(source="a/b", capability="embed"))
        assert ".pulling" not in one_line(error)
        assert store.names("local") == []

    def test_a_whisper_that_is_converted_already_is_taken_as_it_is(self, hub):
        files = {"config.json": b'{"lang_ids": [1]}', "model.bin": b"x", "vocabulary.json": b"[]"}
        hub.add("a/w", files)
        pull(Request(source="a/w"))
        about = store.manifest("local", "w")
        assert (about.engine, about.capabilities) == ("whisper", ("transcribe",))

    def test_a_new_commit_takes_the_old_ones_place(self, hub, ready):
        hub.add("a/tiny", ready(1000), commit="1" * 40)
        pull(Request(source="a/tiny"))
        hub.add("a/tiny", ready(2000), commit="2" * 40)
        pull(Request(source="a/tiny"))
        assert (models() / "tiny" / "weights.bin").stat().st_size == 2000
        assert store.damaged_files("local", "tiny") == []
        assert not unfinished()

    def test_a_commit_that_is_here_is_not_asked_for(self, hub, ready):
        made = hub.add("a/tiny", ready())
        pull(Request(source="a/tiny", revision=made.commit))
        pull(Request(source="a/tiny", revision=made.commit))
        assert hub.listings == 1

    def test_another_model_of_the_same_name_wants_one_of_its_own(self, hub, ready):
        hub.add("a/tiny", ready())
        hub.add("b/tiny", ready(2000))
        pull(Request(source="a/tiny"))
        with pytest.raises(InvalidRequestError, match="--name"):
            pull(Request(source="b/tiny"))
        assert pull(Request(source="b/tiny", name="other")) == "local/other"
        assert store.names("local") == ["other", "tiny"]

    def test_an_address_of_a_page_is_a_source_too(self, hub, ready):
        hub.add("a/tiny", ready())
        assert pull(Request(source=f"{hub.url}/a/tiny")) == "local/tiny"


class TestInterrupted:
    def test_a_connection_cut_ten_times_ends_with_the_right_hash(self, hub, ready):
        size = 1_000_000
        hub.add("a/tiny", ready(size))
        hub.cut = 100_000
        pull(Request(source="a/tiny"))
        assert store.damaged_files("local", "tiny") == []
        asked = [one.start for one in hub.asked if one.path.endswith("weights.bin")]
        assert asked == list(range(0, size, 100_000))
        assert hub.sent("weights.bin") == size

    @posix
    def test_a_pull_killed_again_and_again_goes_on_where_it_was(self, hub, ready):
        size = 2_000_000
        hub.add("a/tiny", ready(size))
        digest = hashlib.sha256(ready(size)["weights.bin"]).hexdigest()
        part = models() / ".pulling" / "tiny" / "blobs" / f"{digest}.part"
        have = 0
        for _ in range(4):
            hub.wait = threading.Event()
            process = start("pull", "a/tiny")
            until = time.monotonic() + 30
            while (part.stat().st_size if part.exists() else 0) < have + (1 << 17):
                assert time.monotonic() < until
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            process.kill()
            process.communicate()
            hub.wait.set()
            assert store.names("local") == []
            resumed = next(one for one in reversed(hub.asked) if one.path.endswith("weights.bin"))
            assert resumed.start == have, "it asks for no byte that it has"
            have = part.stat().st_size
        hub.wait = None
        assert unfinished() == ["tiny"]
        pull(Request(source="a/tiny"))
        assert hub.asked[-1].start == have
        assert store.damaged_files("local", "tiny") == []
        assert not unfinished()

    @posix
    def test_ctrl_c_says_that_what_was_fetched_is_kept(self, hub, ready):
        hub.add("a/tiny", ready(1_000_000))
        hub.wait = threading.Event()
        process = start("pull", "a/tiny")
        hub.sends(1 << 17)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        hub.wait.set()
        assert process.returncode == 130
        assert b"goes on" in told
        assert b"Traceback" not in told
        assert unfinished() == ["tiny"]

    def test_what_is_left_may_be_removed(self, hub, ready, monkeypatch):
        monkeypatch.setattr(download, "_WAIT", 0)
        hub.add("a/tiny", ready(1_000_000))
        hub.cut = 0
        with pytest.raises(DownloadError, match="broke 6 times") as error:
            pull(Request(source="a/tiny"))
        assert "Pull again" in one_line(error)
        remove("tiny")
        assert left() == []

    def test_a_damaged_part_is_fetched_afresh(self, hub, ready):
        files = ready(500_000)
        hub.add("a/tiny", files)
        blobs = models() / ".pulling" / "tiny" / "blobs"
        blobs.mkdir(parents=True)
        digest = hashlib.sha256(files["weights.bin"]).hexdigest()
        (blobs / f"{digest}.part").write_bytes(bytes(200_000))
        pull(Request(source="a/tiny"))
        assert store.damaged_files("local", "tiny") == []

    def test_a_server_without_ranges_sends_all_of_it_again(self, hub, ready):
        files = ready(500_000)
        hub.add("a/tiny", files)
        hub.ranges = False
        blobs = models() / ".pulling" / "tiny" / "blobs"
        blobs.mkdir(parents=True)
        digest = hashlib.sha256(files["weights.bin"]).hexdigest()
        (blobs / f"{digest}.part").write_bytes(files["weights.bin"][:200_000])
        pull(Request(source="a/tiny"))
        assert store.damaged_files("local", "tiny") == []

    def test_progress_adds_up_to_the_total_whatever_was_interrupted(self, hub, ready):
        hub.add("a/tiny", ready(300_000))
        hub.cut = 70_000
        seen: dict[str, int] = {"total": 0, "here": 0}

        class Count(Watch):
            def total(self, size: int) -> None:
                seen["total"] = size

            def progress(self, size: int) -> None:
                seen["here"] += size

        pull(Request(source="a/tiny"), Count())
        assert seen["here"] == seen["total"] > 300_000


class TestTwoAtOnce:
    def test_two_pulls_of_one_model_end_with_one_copy(self, hub, ready):
        size = 500_000
        hub.add("a/tiny", ready(size))
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(pull, Request(source="a/tiny")) for _ in range(2)]
            assert {one.result(timeout=30) for one in both} == {"local/tiny"}
        assert hub.sent("weights.bin") == size
        assert left() == ["tiny/CARD.md", "tiny/model.json", "tiny/weights.bin"]

    def test_two_processes_too(self, hub, ready):
        size = 500_000
        hub.add("a/tiny", ready(size))
        hub.wait = threading.Event()
        both = [start("pull", "a/tiny") for _ in range(2)]
        hub.sends(1 << 17)
        time.sleep(0.3)
        hub.wait.set()
        for one in both:
            out, told = one.communicate(timeout=60)
            assert (one.returncode, out) == (0, b"local/tiny\n"), told
        assert hub.sent("weights.bin") == size


class TestAnotherFileThanPublished:
    def test_a_wrong_hash_is_refused_and_not_kept(self, hub, ready):
        hub.add("a/tiny", ready(), hashes={"weights.bin": "0" * 64})
        with pytest.raises(DownloadError, match="not what the hub published") as error:
            pull(Request(source="a/tiny"))
        assert "weights.bin" in one_line(error)
        assert store.names("local") == []
        assert not list(models().rglob("0000*"))

    def test_a_small_files_git_hash_is_checked_too(self, hub, ready):
        hub.add("a/tiny", ready(), hashes={"CARD.md": "0" * 40})
        with pytest.raises(DownloadError, match=r"CARD\.md is not what"):
            pull(Request(source="a/tiny"))

    def test_a_server_that_never_stops_sending_is_left(self, hub, ready):
        hub.add("a/tiny", ready(100_000))
        hub.endless = True
        with pytest.raises(DownloadError, match="not what the hub published"):
            pull(Request(source="a/tiny"))

    @pytest.mark.parametrize("name", ["../evil.safetensors", "/etc/x", "a/../../b", "a\\b", "a//b"])
    def test_a_file_that_would_lie_outside_is_refused(self, hub, safetensors, name):
        hub.add("a/b", {"config.json": CONFIG, name: safetensors(10)})
        with pytest.raises(InvalidRequestError, match="outside its folder") as error:
            pull(Request(source="a/b"))
        one_line(error)
        assert not hub.asked

    def test_a_hash_that_is_a_path_is_refused(self, hub, ready):
        hub.add("a/tiny", ready(), hashes={"weights.bin": "../../../x"})
        with pytest.raises(DownloadError, match="does not answer as the hub"):
            pull(Request(source="a/tiny"))


class TestAccess:
    def test_a_gated_model_without_a_token_says_how_to_get_one(self, hub, ready):
        hub.add("a/tiny", ready(), token="hf_right")
        with pytest.raises(ConfigurationError, match="HF_TOKEN") as error:
            pull(Request(source="a/tiny"))
        assert f"{hub.url}/a/tiny" in one_line(error)

    def test_a_token_that_does_not_open_it_says_whom_to_ask(self, hub, ready, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        hub.add("a/tiny", ready(), token="hf_right")
        with pytest.raises(ConfigurationError, match="Ask for access") as error:
            pull(Request(source="a/tiny"))
        one_line(error)

    def test_a_token_from_the_environment_opens_it(self, hub, ready, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_right")
        hub.add("a/tiny", ready(), token="hf_right")
        assert pull(Request(source="a/tiny")) == "local/tiny"

    def test_a_token_from_the_token_file_opens_it(self, hub, ready, tmp_path):
        (tmp_path / "hf").mkdir()
        (tmp_path / "hf" / "token").write_text("hf_right\n")
        hub.add("a/tiny", ready(), token="hf_right")
        assert pull(Request(source="a/tiny")) == "local/tiny"

    def test_the_token_goes_to_the_hub_and_not_where_it_redirects(self, hub, ready, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_right")
        hub.add("a/tiny", ready(), token="hf_right")
        hub.redirect = hub.url.replace("127.0.0.1", "localhost")
        pull(Request(source="a/tiny"))
        elsewhere = [one for one in hub.asked if one.host.startswith("localhost")]
        assert elsewhere
        assert all(one.token is None for one in elsewhere)

    def test_an_unknown_model_and_revision_are_said(self, hub, ready):
        hub.add("a/tiny", ready())
        with pytest.raises(NotFoundError, match="no model 'a/nothing'") as error:
            pull(Request(source="a/nothing"))
        one_line(error)
        with pytest.raises(NotFoundError, match="no revision 'nope'"):
            pull(Request(source="a/tiny", revision="nope"))

    def test_a_hub_that_breaks_is_said_in_one_line(self, hub, ready):
        hub.add("a/tiny", ready())
        hub.status = [500]
        with pytest.raises(DownloadError, match="answered 500") as error:
            pull(Request(source="a/tiny"))
        one_line(error)


class TestOffline:
    def test_without_a_server_what_is_here_stays_and_loads(self, hub, ready, monkeypatch):
        hub.add("a/tiny", ready())
        pull(Request(source="a/tiny"))
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(DownloadError, match="cannot be reached") as error:
            pull(Request(source="a/other"))
        one_line(error)
        monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("127.0.0.1", "localhost") + "x")
        said: list[str] = []
        watch = Watch()
        watch.stage = said.append  # type: ignore[method-assign]
        assert pull(Request(source="a/tiny"), watch) == "local/tiny"
        assert "stays as it is" in said[0]
        assert registry.Registry().get("local/tiny")

    def test_hf_hub_offline_is_obeyed(self, hub, ready):
        hub.add("a/tiny", ready())
        environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
        process = start("pull", "a/tiny", env=environ)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 1
        assert b"HF_HUB_OFFLINE" in told
        assert told.count(b"\n") == 1
        assert hub.listings == 0
        pull(Request(source="a/tiny"))
        process = start("pull", "a/tiny", env=environ)
        assert process.communicate(timeout=60)[0] == b"local/tiny\n"

    def test_a_pulled_model_loads_without_the_libraries_that_pulled_it(self, hub, ready):
        hub.add("a/tiny", ready())
        pull(Request(source="a/tiny"))
        code = (
            "import sys; from ogam import registry; registry.Registry().get('local/tiny');"
            "print([m for m in ('huggingface_hub', 'httpx2', 'filelock', 'ogam.models.pull')"
            " if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout.strip() == b"[]"


class TestFullDisk:
    @posix
    def test_a_disk_that_fills_up_leaves_nothing(self, hub, ready):
        hub.add("a/tiny", ready(2_000_000))
        # The kernel refuses the file's next byte, as a full disk does.
        code = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000));"
            "from ogam.cli import main; sys.exit(main(['models', 'pull', 'a/tiny']))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert done.returncode == 1
        assert b"cannot be written" in done.stderr
        assert done.stderr.count(b"\n") == 1
        assert hub.sent("weights.bin") >= 500_000
        assert left() == []

    def test_a_model_larger_than_the_free_space_is_not_begun(self, hub, ready, monkeypatch):
        hub.add("a/tiny", ready(100_000))
        usage = shutil.disk_usage(models().parent)._replace(free=50_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(OutputError, match="OGAM_MODELS") as error:
            pull(Request(source="a/tiny"))
        one_line(error)
        assert hub.sent("weights.bin") == 0

    @pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_may_not_be_written_is_said(self, hub, ready, tmp_path, monkeypatch):
        hub.add("a/tiny", ready())
        (tmp_path / "closed").mkdir(mode=0o500)
        monkeypatch.setenv("OGAM_MODELS", str(tmp_path / "closed"))
        with pytest.raises(OutputError, match="cannot be written"):
            pull(Request(source="a/tiny"))

    def test_a_file_in_the_place_of_the_folder_is_said(self, hub, ready, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("OGAM_MODELS", str(tmp_path / "file"))
        with pytest.raises(OutputError, match="cannot be written") as error:
            pull(Request(source="a/tiny"))
        one_line(error)


class TestNames:
    @pytest.mark.parametrize(
        "name", ["../x", "..", ".hidden", "a/b", "", "a b", "x" * 200, "a\n", "é", "a..b", "-x"]
    )
    def test_a_name_that_is_a_path_is_refused(self, hub, name):
        for refused in (
            lambda: pull(Request(source="a/tiny", name=name)),
            lambda: remove(name),
        ):
            with pytest.raises(InvalidRequestError, match="no name for a model"):
                refused()
        assert hub.listings == 0

    @pytest.mark.parametrize("source", ["a/../b", "a/b/c", "a b", "", "a/", "ftp://x/y", "a--b/c"])
    def test_a_source_that_is_none_is_refused(self, hub, source):
        with pytest.raises(InvalidRequestError) as error:
            pull(Request(source=source))
        one_line(error)
        assert hub.listings == 0

    def test_remove_takes_only_what_was_pulled(self, hub, ready):
        hub.add("a/tiny", ready())
        pull(Request(source="a/tiny"))
        remove("tiny")
        assert left() == []
        with pytest.raises(UnknownModelError):
            remove("tiny")


class TestFromAFolder:
    def folder(self, tmp_path: Path, files: dict[str, bytes]) -> str:
        for name, data in files.items():
            path = tmp_path / "there" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return str(tmp_path / "there")

    def test_a_model_of_ours_is_copied_as_it_is(self, hub, ready, tmp_path):
        folder = self.folder(tmp_path, {**ready(), "notes.txt": b"not the model's"})
        assert pull(Request(source=folder)) == "local/there"
        assert store.manifest("local", "there").source.startswith("file:")
        assert left() == ["there/CARD.md", "there/model.json", "there/weights.bin"]
        assert pull(Request(source=folder)) == "local/there"

    def test_a_model_that_was_trained_here_has_its_runs_name(self, hub, ready, tmp_path):
        folder = self.folder(tmp_path, {f"model/{k}": v for k, v in ready().items()})
        assert pull(Request(source=f"{folder}/model")) == "local/there"

    def test_its_damaged_file_is_refused(self, hub, ready, tmp_path):
        folder = self.folder(tmp_path, {**ready(), "weights.bin": b"other"})
        with pytest.raises(InvalidRequestError, match=r"weights\.bin is damaged") as error:
            pull(Request(source=folder))
        one_line(error)
        assert left() == []

    def test_the_licence_is_read_from_the_card(self, hub, safetensors, tmp_path, kept):
        files = {
            "config.json": CONFIG,
            "model.safetensors": safetensors(10),
            "README.md": b"---\nlanguage: en\nlicense: mit\n---\nText\n",
        }
        pull(Request(source=self.folder(tmp_path, files)))
        assert store.manifest("local", "there").licence == "mit"

    @pytest.mark.parametrize(
        ("files", "says"),
        [
            ({"notes.txt": b"x"}, "no config.json"),
            ({"config.json": CONFIG}, "no weights"),
            ({"config.json": CONFIG, "pytorch_model.bin": b"x"}, "--trust-pickle"),
            ({"config.json": CONFIG, "tf_model.h5": b"x"}, "TensorFlow only"),
            ({"config.json": b"[", "model.safetensors": b"x"}, "not JSON"),
            ({"config.json": b"[]", "model.safetensors": b"x"}, "no JSON object"),
        ],
    )
    def test_a_folder_that_is_no_model_is_refused_in_one_line(self, hub, tmp_path, files, says):
        with pytest.raises(InvalidRequestError, match=says) as error:
            pull(Request(source=self.folder(tmp_path, files)))
        assert "there: " in one_line(error)
        assert left() == []

    def test_a_file_and_nothing_at_all_are_no_folder(self, hub, tmp_path):
        (tmp_path / "x.zip").write_bytes(b"")
        for source, says in (("x.zip", "not a folder"), ("nowhere", "no such folder")):
            with pytest.raises(InvalidRequestError, match=says):
                pull(Request(source=str(tmp_path / source)))


def test_what_is_chosen_never_leads_outside():
    assert choice.choose(["config.json", "model.safetensors", "x.py"]) == [
        "config.json",
        "model.safetensors",
    ]
    ready_made = ["config.json", "model.bin", "vocabulary.json", "tokenizer.json"]
    assert choice.choose(ready_made) == sorted(ready_made)
    sharded = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = "model.safetensors.index.json"
    chosen = choice.choose(["config.json", *sharded, index, "consolidated.safetensors"])
    assert chosen == ["config.json", *sharded, index]
    assert "onnx/model.onnx" in choice.choose(
        ["config.json", "onnx/model.onnx"], include=["onnx/*"]
    )
