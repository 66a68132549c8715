"""Files that are not what they call themselves are refused before anything loads them."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.errors import InvalidRequestError
from ogam.models import choice, weights
from ogam.models.pull import Request, pull
from ogam.models.store import local_folder, names

CONFIG = b'{"model_type": "bert"}'


def tensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def bomb(name: str, size: int = 50_000_000) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(size))
    return made.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


class TestSafetensors:
    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"", "header says 0 bytes"),
            (b"abc", "in a file of 3"),
            (tensors({}, length=2**63), "header says 9223372036854775808 bytes"),
            (tensors({}, length=99_000_000), "header says 99000000 bytes"),
            (tensors(b"[1]"), "not that of safetensors"),
            (tensors(b"{}{}"), "not that of safetensors"),
            (tensors(b"[" * 100_000), "not that of safetensors"),
            (tensors({"w": 1}), "not that of safetensors"),
            (tensors({"w": tensor([2], 0, 8)}, bytes(4)), "holds 4"),
            (tensors({"w": tensor([2], 0, 8)}, bytes(12)), "holds 12"),
            (tensors({"w": tensor([2**60], 0, 8)}, bytes(8)), "cannot take 8 bytes"),
            (tensors({"w": tensor([-2, -1], 0, 8)}, bytes(8)), "no number"),
            (tensors({"w": tensor([2], 0, 8, "X9")}, bytes(8)), "unknown type"),
            (
                tensors({"a": tensor([2], 0, 8), "b": tensor([2], 0, 8)}, bytes(8)),
                "overlap",
            ),
            (
                tensors({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, bytes(12)),
                "gap",
            ),
        ],
    )
    def test_a_header_that_lies_is_refused_in_one_line(self, hub, tmp_path, data, says):
        folder = write(tmp_path / "m", {"config.json": CONFIG, "model.safetensors": data})
        with pytest.raises(InvalidRequestError, match=says) as error:
            pull(Request(source=str(folder)))
        assert "\n" not in str(error.value)
        assert "model.safetensors" in str(error.value)
        assert names("local") == []

    def test_what_the_library_writes_is_accepted(self, tmp_path):
        torch = pytest.importorskip("torch")
        from safetensors.torch import save_file

        path = tmp_path / "x.safetensors"
        types = (torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.float8_e4m3fn)
        made = {f"t{i}": torch.zeros(3, 2).to(one) for i, one in enumerate(types)}
        save_file({**made, "empty": torch.zeros(0, 4), "scalar": torch.tensor(1.0)}, path)
        weights.check_safetensors(path, path.name)

    @given(st.binary(max_size=300))
    def test_any_bytes_are_accepted_or_refused_in_one_line(self, tmp_path_factory, data):
        path = tmp_path_factory.getbasetemp() / "any.safetensors"
        path.write_bytes(data)
        try:
            weights.check_safetensors(path, path.name)
        except InvalidRequestError as error:
            assert "\n" not in str(error)

    def test_an_index_whose_shard_is_missing_is_refused(self, hub, tmp_path, safetensors):
        index = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}).encode()
        shard = {"model-00002-of-00002.safetensors": safetensors(8)}
        files = {"config.json": CONFIG, "model.safetensors.index.json": index, **shard}
        with pytest.raises(InvalidRequestError, match=r"00001-of-00002\.safetensors, which is"):
            pull(Request(source=str(write(tmp_path / "m", files))))


class TestArchivesAndPickles:
    @pytest.mark.parametrize("name", ["tables.npz", "extra.zip", "weights.bin"])
    def test_an_archive_that_expands_without_end_is_refused(self, hub, tmp_path, safetensors, name):
        files = {"config.json": CONFIG, "model.safetensors": safetensors(8), name: bomb("a.npy")}
        folder = write(tmp_path / "m", files)
        with pytest.raises(InvalidRequestError, match="expands to 50 MB") as error:
            pull(Request(source=str(folder), include=(name,)))
        assert name in str(error.value)

    def test_a_pickle_that_expands_without_end_is_refused_even_if_trusted(self, hub, tmp_path):
        files = {"config.json": CONFIG, "pytorch_model.bin": bomb("archive/data.pkl")}
        with pytest.raises(InvalidRequestError, match="expands"):
            pull(Request(source=str(write(tmp_path / "m", files)), trust_pickle=True))

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    @pytest.mark.parametrize("name", ["tables.dat", "model.ckpt"])
    def test_a_pickle_under_any_name_is_refused(self, hub, tmp_path, safetensors, protocol, name):
        data = pickle.dumps({"w": [1.0, 2.0]}, protocol=protocol)
        files = {"config.json": CONFIG, "model.safetensors": safetensors(8), name: data}
        folder = write(tmp_path / "m", files)
        with pytest.raises(InvalidRequestError, match="can run any code") as error:
            pull(Request(source=str(folder), include=(name,)))
        assert "--trust-pickle" in str(error.value)

    def test_a_trusted_pickle_becomes_safetensors_and_is_not_kept(self, hub, tmp_path, kept):
        torch = pytest.importorskip("torch")
        from safetensors.torch import load_file

        shared = torch.arange(6.0).reshape(2, 3)
        folder = write(tmp_path / "m", {"config.json": CONFIG})
        made = {"a": shared, "tied": shared, "part": torch.arange(100.0)[3:5], "t": shared.T}
        torch.save(made, folder / "pytorch_model.bin")
        pull(Request(source=str(folder), trust_pickle=True))
        place = local_folder() / "m"
        assert not list(place.glob("*.bin"))
        read = load_file(place / "model.safetensors")
        assert set(read) == set(made)
        assert all(torch.equal(read[key], made[key]) for key in made)

    def test_sharded_pickles_too(self, tmp_path):
        torch = pytest.importorskip("torch")
        folder = write(tmp_path / "m", {})
        name = "pytorch_model-00001-of-00001.bin"
        torch.save({"a": torch.zeros(2)}, folder / name)
        index = {"weight_map": {"a": name}}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        weights.unpickle(folder)
        assert sorted(one.name for one in folder.iterdir()) == [
            "model-00001-of-00001.safetensors",
            "model.safetensors.index.json",
        ]
        weights.check(folder)

    @pytest.mark.parametrize("damaged", [False, True])
    def test_code_in_a_trusted_pickle_does_not_run(self, hub, tmp_path, kept, damaged):
        torch = pytest.importorskip("torch")

        class Evil:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "ran",))

        folder = write(tmp_path / "m", {"config.json": CONFIG})
        torch.save({"a": Evil()}, folder / "pytorch_model.bin")
        if damaged:
            (folder / "pytorch_model.bin").write_bytes(b"\x80\x02\x8anothing")
        with pytest.raises(InvalidRequestError, match="more than tensors") as error:
            pull(Request(source=str(folder), trust_pickle=True))
        assert "\n" not in str(error.value)
        assert not (tmp_path / "ran").exists()
        assert names("local") == []


class TestTorchHub:
    """Entries are functions of a repository; here one that PyTorch has fetched before."""

    @pytest.fixture
    def entry(self, hub, tmp_path, monkeypatch):
        pytest.importorskip("transformers")
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

        def write_code(code: str) -> None:
            folder = tmp_path / "torch" / "hub" / "ada_zoo_main"
            folder.mkdir(parents=True)
            (folder / "hubconf.py").write_text(code)

        return write_code

    def test_it_says_that_it_runs_code_and_wants_leave(self, entry, tmp_path):
        entry(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()")
        with pytest.raises(InvalidRequestError, match=r"run the code of github\.com/ada") as error:
            pull(Request(source="torchhub:ada/zoo:tiny", revision="main"))
        assert "--trust-code" in str(error.value)
        assert not (tmp_path / "ran").exists()

    def test_a_model_of_transformers_becomes_a_folder(self, entry, kept, capfd):
        entry(
            "from transformers import BertConfig, BertModel\n"
            "print('hello from the code')\n"
            "def tiny(layers='1'):\n"
            "    sizes = dict(hidden_size=8, num_attention_heads=2, intermediate_size=8)\n"
            "    return BertModel(BertConfig(vocab_size=10, num_hidden_layers=int(layers),"
            " **sizes))\n"
        )
        source = "torchhub:ada/zoo:tiny:2"
        request = Request(source=source, revision="main", trust_code=True, name="zoo")
        assert pull(request) == "local/zoo"
        assert capfd.readouterr().out == ""
        config = json.loads((local_folder() / "zoo" / "config.json").read_text())
        assert config["num_hidden_layers"] == 2
        assert (local_folder() / "zoo" / "model.safetensors").is_file()

    def test_what_no_engine_runs_is_refused(self, entry, kept):
        entry("import torch\ndef tiny(): return torch.nn.Linear(2, 2)\n")
        with pytest.raises(InvalidRequestError, match="gives a Linear"):
            pull(Request(source="torchhub:ada/zoo:tiny", revision="main", trust_code=True))
        assert names("local") == []

    def test_code_that_fails_is_one_line(self, entry, kept):
        entry("def tiny(): raise ValueError('two\\nlines')\n")
        with pytest.raises(Exception, match="ValueError: two lines") as error:
            pull(Request(source="torchhub:ada/zoo:tiny", revision="main", trust_code=True))
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        "source", ["torchhub:", "torchhub:a/b", "torchhub:../x:y", "torchhub:a/b:../y"]
    )
    def test_a_wrong_source_shows_the_form(self, hub, source):
        with pytest.raises(InvalidRequestError, match="torchhub:owner/repo:entry"):
            pull(Request(source=source, trust_code=True))


@given(st.lists(st.text(max_size=12), max_size=5), st.booleans())
def test_choosing_is_a_pure_choice(more: list[str], trust: bool):
    there = ["config.json", "model.safetensors", *more]
    try:
        chosen = choice.choose(there, include=["*"], trust_pickle=trust)
    except InvalidRequestError:
        return
    assert set(chosen) <= set(there)
    assert all(".." not in one.split("/") and not one.startswith("/") for one in chosen)
