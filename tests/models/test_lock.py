"""The parts of a lock: pip's settings, indexes, packages and their troubles, the files, models."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import ModelRef
from ogam.errors import ConfigurationError, InvalidRequestError, OutputError
from ogam.models import store
from ogam.models.lock import (
    asking,
    check,
    conda,
    files,
    index,
    models,
    packages,
    settings,
    trouble,
    values,
)
from ogam.models.lock.index import File
from ogam.models.lock.trouble import Found, judge, judge_unasked
from ogam.models.lock.values import Lock, Model, Package, Platform, Python

DIGEST = st.binary(min_size=32, max_size=32).map(bytes.hex)
NAME = st.from_regex(r"[a-z][a-z0-9]{0,8}_?[a-z0-9]{1,3}", fullmatch=True)
A, B = "a" * 64, "b" * 64


def lock(*found: Package, **more) -> Lock:
    return Lock(
        ogam="0.1.0",
        python=Python(version="3.11.9", implementation="CPython"),
        platform=Platform(system="Linux", machine="x86_64"),
        packages=found,
        **more,
    )


def wheel(name: str, tag: str = "py3-none-any", **more) -> File:
    return File(name=f"{name}-{tag}.whl", sha256=A, **more)


class TestSettings:
    def test_variables_weigh_more_than_install_and_that_more_than_global(self):
        told = (
            "global.extra-index-url='\\nhttps://a/simple/\\nhttps://b/simple'\n"
            ":env:.index-url='https://env/simple'\n"
            "global.index-url='https://global/simple'\n"
            "install.index-url='https://install/simple'\n"
            "install.find-links='/wheels https://c/'\n"
            "freeze.timeout='10'\n"
        )
        found = settings.parse(told)
        assert found.index == "https://env/simple"
        assert found.extra == ("https://a/simple", "https://b/simple")
        assert found.links == ("/wheels", "https://c/")
        install = settings.parse(told.replace(":env:", "nothing"))
        assert install.index == "https://install/simple"

    def test_without_any_it_is_pypi_and_no_index_means_none(self):
        assert settings.parse("").index == "https://pypi.org/simple"
        off = settings.parse(":env:.no-index='1'\nglobal.extra-index-url='https://a'\n")
        assert (off.index, off.extra) == ("", ())

    def test_pip_is_asked(self, monkeypatch):
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@example.org/simple/")
        found = settings.load()
        assert found.index == "https://me:secret@example.org/simple"
        assert settings.without_password(found.index) == "https://example.org/simple"

    @given(st.text())
    def test_whatever_pip_prints_is_read(self, text):
        assert settings.parse(text).index is not None

    def test_the_user_of_ssh_is_no_secret(self):
        url = "ssh://git@example.org/a.git"
        assert settings.without_password(url) == url
        assert settings.without_password("file:///a/b") == "file:///a/b"


class TestIndex:
    @given(st.lists(st.tuples(NAME, DIGEST, st.sampled_from([False, True, "", "broken"]))))
    def test_json_and_html_tell_the_same(self, listed):
        told = [
            {
                "filename": f"{name}-1.0.tar.gz",
                "url": f"https://x/{name}-1.0.tar.gz",
                "hashes": {"sha256": digest},
                "yanked": yanked,
            }
            for name, digest, yanked in listed
        ]
        page = "".join(
            f'<a href="{one["url"]}#sha256={one["hashes"]["sha256"]}"'
            + (f' data-yanked="{"" if one["yanked"] is True else one["yanked"]}"')
            * (one["yanked"] is not False)
            + f">{one['filename']}</a><br>\n"
            for one in told
        )
        from_json = index.parse_json(json.dumps({"meta": {}, "files": told}).encode())
        from_html = index.parse_html(page.encode(), "https://x/simple/")
        assert [(one.name, one.sha256, one.yanked) for one in from_html] == [
            (one.name, one.sha256, one.yanked) for one in from_json
        ]
        assert [one.sha256 for one in from_json] == [digest for _, digest, _ in listed]
        withdrawn = [yanked is not False for *_, yanked in listed]
        assert [one.yanked is not None for one in from_json] == withdrawn

    @given(st.binary(max_size=400))
    def test_no_page_breaks_the_reader(self, data):
        index.of_version(index.parse_html(data, "https://x/"), "a", "1")

    def test_files_are_those_of_exactly_that_version(self):
        listed = [
            wheel("my_app-1.0"),
            wheel("My.App-1.0.0"),
            wheel("my_app-1.0+cpu"),
            File(name="my-app-1.0.tar.gz"),
            wheel("my_app_more-1.0"),
            File(name="my_app-1.0.exe"),
        ]
        found = index.of_version(listed, "my-app", "1.0")
        assert {one.name for one in found} == {
            "my_app-1.0-py3-none-any.whl",
            "my-app-1.0.tar.gz",
        }
        local = index.of_version(listed, "my-app", "1.0+cpu")
        assert [one.name for one in local] == ["my_app-1.0+cpu-py3-none-any.whl"]

    def test_a_folder_is_an_index_and_what_it_does_not_hash_is_hashed(self, tmp_path):
        (tmp_path / "app").mkdir()
        (tmp_path / "app-1.0.tar.gz").write_bytes(b"sources")
        (tmp_path / "app" / "index.html").write_text('<a href="../app-1.0.tar.gz">app</a>')
        (one,) = index.Index(tmp_path.as_uri()).files("app")
        assert one.sha256 == store.sha256(tmp_path / "app-1.0.tar.gz")
        assert index.Index(tmp_path.as_uri()).files("other") == []

    def test_an_index_that_is_not_there_is_asked_once(self):
        one = index.Index("http://me:secret@127.0.0.1:9/simple")
        for _ in range(2):
            with pytest.raises(index.UnreachableError, match=r"127\.0\.0\.1:9/simple") as told:
                one.files("app")
            assert "secret" not in str(told.value)

    def test_without_the_index_packages_keep_no_hash_and_the_reason_is_told(self, tmp_path):
        (tmp_path / "torch-2.6.0+cpu-cp311-cp311-linux_x86_64.whl").write_bytes(b"x")
        found, silent, unasked = asking.ask(
            [Package(name="numpy", version="2.0"), Package(name="torch", version="2.6.0+cpu")],
            settings.Settings(
                index="http://127.0.0.1:9/simple",
                extra=("http://127.0.0.1:9/more",),
                links=(str(tmp_path),),
            ),
        )
        assert "127.0.0.1:9/simple" in unasked
        assert len(silent) == 1 and "more" in silent[0]
        assert [(one.files, bool(one.trouble)) for one in found] == [({}, False), ({}, True)]


class TestTrouble:
    def test_what_the_index_has_has_none_and_every_platform_verifies(self):
        listed = [wheel("a-1", "cp311-cp311-win_amd64"), File(name="a-1.tar.gz", sha256=B)]
        found = judge(Package(name="a", version="1"), Found(first=listed))
        assert found.trouble == "" and found.source == "index"
        assert found.hashes == [A, B]

    @pytest.mark.parametrize(
        ("found", "source", "trouble", "remedy"),
        [
            (
                Found(first=[wheel("a-1", yanked="broken")]),
                "index",
                "withdrew this version: broken",
                "another",
            ),
            (
                Found(first=[wheel("a-1", "cp311-cp311-manylinux_2_28_x86_64")]),
                "index",
                "files for Linux alone",
                "another system",
            ),
            (
                Found(first=[File(name="a-1.tar.gz", sha256=A)]),
                "index",
                "source alone",
                "pip wheel",
            ),
            (
                Found(extra=[("https://x/simple", [wheel("a-1")])]),
                "extra",
                "only the extra index https://x/simple",
                "--extra-index-url https://x/simple",
            ),
            (
                Found(extra=[("file:///x/simple", [wheel("a-1")])]),
                "extra",
                "a folder of this machine",
                "--find-links",
            ),
            (Found(links=[wheel("a-1")]), "links", "only --find-links", "a-1-py3-none-any.whl"),
            (Found(silent=["https://y"]), "nowhere", "https://y did not answer", "--find-links"),
        ],
    )
    def test_each_says_why_and_what_to_do(self, found, source, trouble, remedy):
        judged = judge(Package(name="a", version="1"), found)
        assert judged.source == source
        assert trouble in judged.trouble
        assert remedy in judged.remedy

    def test_files_for_two_systems_are_enough(self):
        both = [wheel("a-1", "cp311-cp311-win32"), wheel("a-1", "cp311-cp311-macosx_11_0_arm64")]
        assert judge(Package(name="a", version="1"), Found(first=both)).trouble == ""

    def test_a_local_label_names_the_index_that_has_such_builds(self):
        torch = judge(Package(name="torch", version="2.6.0+cu126"), Found())
        assert "+cu126" in torch.trouble
        assert "https://download.pytorch.org/whl/cu126" in torch.remedy
        other = judge(Package(name="flash", version="2.0+cu12"), Found(public=True))
        assert "flash==2.0" in other.remedy
        assert judge_unasked(Package(name="flash", version="2.0+cu12")).trouble

    @pytest.mark.parametrize(
        ("package", "trouble", "remedy"),
        [
            (
                Package(name="a", version="1", source="editable", url="file:///src", commit="abc"),
                "editable install of /src at commit abc",
                "pip wheel --no-deps /src",
            ),
            (
                Package(name="a", version="1", source="vcs", url="git+https://x/a", commit="abc"),
                "git+https://x/a",
                "'a @ git+https://x/a@abc'",
            ),
            (Package(name="a", version="1", source="file", url="file:///a.whl"), "/a.whl", "along"),
            (
                Package(name="a", version="1", source="archive", url="https://x/a"),
                "https://x/a",
                "",
            ),
            (
                Package(name="a", version="1", source="conda", channel="bioconda"),
                "bioconda",
                "environment.yml",
            ),
        ],
    )
    def test_what_no_index_was_asked_for_is_told_with_and_without_one(
        self, package, trouble, remedy
    ):
        for judged in (judge(package, Found()), judge_unasked(package)):
            assert trouble in judged.trouble
            assert remedy in judged.remedy


def distribution(folder: Path, name: str, version: str, direct: object = None, *more: str) -> None:
    """What a package leaves where it is installed."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *more]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (info / "INSTALLER").write_text("pip\n")
    if direct is not None:
        (info / "direct_url.json").write_text(json.dumps(direct))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on Python's path, first of all."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def installed(name: str, *scope: str) -> Package:
    return next(one for one in packages.installed(scope) if one.name == name)


class TestPackages:
    def test_each_way_to_install_is_told_apart_and_no_password_is_kept(self, site):
        distribution(site, "From_Index", "1.0.0")
        distribution(site, "edited", "1", {"url": "file:///e", "dir_info": {"editable": True}})
        distribution(site, "built", "1", {"url": "file:///b", "dir_info": {}})
        git = {"url": "https://u:p@x/v.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}
        distribution(site, "versioned", "1", git)
        archive = {"url": "https://u:p@x/w-1.whl", "archive_info": {"hashes": {"sha256": A}}}
        distribution(site, "archived", "1", archive)
        distribution(site, "damaged", "1", 5)
        assert installed("from-index") == Package(name="from-index", version="1.0.0")
        assert installed("edited").source == "editable"
        assert installed("built").source == "folder"
        versioned = installed("versioned")
        assert versioned.requirement == "versioned @ git+https://x/v.git@c0ffee"
        archived = installed("archived")
        assert (archived.url, archived.files) == ("https://x/w-1.whl", {"w-1.whl": A})
        assert installed("damaged").source == "index"

    def test_scope_takes_what_it_needs_by_extras_and_markers(self, site):
        needs = (
            "Provides-Extra: big",
            "Requires-Dist: leaf[more]",
            "Requires-Dist: rare; extra == 'big'",
            "Requires-Dist: never; python_version < '3'",
            "Requires-Dist: gone",
        )
        distribution(site, "root", "1", None, *needs)
        distribution(site, "leaf", "1", None, "Requires-Dist: ring; extra == 'more'")
        distribution(site, "ring", "1", None, "Requires-Dist: leaf")
        for name in ("rare", "never", "other"):
            distribution(site, name, "1")
        names = {one.name for one in packages.installed(["root"])}
        assert names == {"root", "leaf", "ring"}
        assert {one.name for one in packages.installed(["root[big]"])} == {*names, "rare"}
        with pytest.raises(InvalidRequestError, match="missing"):
            packages.installed(["missing"])
        with pytest.raises(InvalidRequestError, match="requirement"):
            packages.installed(["no requirement !"])

    def test_pip_is_left_out_and_its_tools_unless_something_needs_them(self, site):
        distribution(site, "pip", "99")
        distribution(site, "wheel", "99")
        assert not {"pip", "wheel"} & {one.name for one in packages.installed()}
        distribution(site, "root", "1", None, "Requires-Dist: wheel")
        assert installed("wheel").version == "99"

    def test_conda_tells_its_channel_whatever_the_build_left_behind(
        self, site, tmp_path, monkeypatch
    ):
        left = {"url": "file:///home/conda/feedstock_root/x", "dir_info": {}}
        distribution(site, "Some_App", "1.0", left)
        (tmp_path / "conda-meta").mkdir()
        record = {
            "name": "some-app",
            "version": "1.0",
            "build": "py311_0",
            "channel": "https://conda.anaconda.org/conda-forge/noarch",
            "files": ["lib/python3.11/site-packages/Some_App-1.0.dist-info/METADATA"],
        }
        (tmp_path / "conda-meta" / "some-app.json").write_text(json.dumps(record))
        (tmp_path / "conda-meta" / "broken.json").write_text("{")
        monkeypatch.setattr("sys.prefix", str(tmp_path))
        found = installed("some-app")
        assert (found.source, found.channel) == ("conda", "conda-forge")
        assert found.build == "some-app=1.0=py311_0"
        text = files.environment(lock(found), conda.installed(tmp_path), tmp_path)
        assert "  - conda-forge\n" in text and "  - some-app=1.0=py311_0\n" in text

    @pytest.mark.parametrize(
        ("channel", "name"),
        [
            ("https://conda.anaconda.org/conda-forge/linux-64", "conda-forge"),
            ("https://repo.anaconda.com/pkgs/main/osx-arm64", "pkgs/main"),
            ("https://u:p@x.org/t/TOKEN/mine/win-64", "https://x.org/mine"),
            ("defaults", "defaults"),
        ],
    )
    def test_channels(self, channel, name):
        assert conda.channel_name(channel) == name


class TestFiles:
    def test_all_hashes_or_none(self):
        known = Package(name="a", version="1", files={"x": A, "y": B})
        text = files.requirements(lock(known))
        assert f"a==1 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n" in text
        bare = files.requirements(lock(known, Package(name="b", version="2")))
        assert "--hash" not in bare and "\na==1\nb==2\n" in bare and "Without hashes" in bare

    def test_what_cannot_be_had_is_a_comment_and_says_why(self):
        far = Package(
            name="t", version="1+cpu", source="nowhere", trouble="no index", remedy="Bring it"
        )
        near = Package(name="x", version="1", source="extra", url="https://x/s", files={"f": A})
        text = files.requirements(lock(far, near))
        assert "# t: no index. Bring it.\n# t==1+cpu\n" in text
        assert "--extra-index-url https://x/s\n" in text
        assert all(line[0] in "#-x " for line in text.splitlines())

    def test_a_wheel_that_was_built_is_found_beside_it(self):
        built = Package(name="o", version="1", source="editable", url="file:///o", files={"w": A})
        text = files.requirements(lock(built))
        assert "--find-links wheels\n" in text and f"o==1 \\\n    --hash=sha256:{A}\n" in text

    def test_conda_reads_it(self, tmp_path):
        yaml = pytest.importorskip("yaml")
        told = yaml.safe_load(files.environment(lock(), [], tmp_path))
        assert told["dependencies"] == ["python=3.11.9", "pip", {"pip": ["-r requirements.txt"]}]
        assert told["channels"] == ["conda-forge", "nodefaults"]

    def test_what_somebody_else_wrote_is_not_overwritten(self, tmp_path):
        files.write(lock(), tmp_path, [])
        files.check_ours(tmp_path)
        (tmp_path / "requirements.txt").write_text("numpy\n")
        with pytest.raises(OutputError, match="--force"):
            files.check_ours(tmp_path)

    def test_the_lock_reads_back_as_it_was(self, tmp_path):
        model = Model(name="a/b", engine="a", files={"f": A}, options={"include": ["x"]}, seed=0)
        whole = lock(
            Package(name="a", version="1!2.0+x.1", source="links", url="file:///a", files={"a": A}),
            models=(model,),
            seeds={"s": 3},
            scope=("a[b]",),
        )
        files.write(whole, tmp_path, [])
        assert values.read(tmp_path) == whole

    @given(st.binary(max_size=200))
    def test_a_damaged_lock_is_one_line(self, tmp_path_factory, data):
        path = tmp_path_factory.mktemp("lock") / "ogam.lock"
        path.write_bytes(data)
        with pytest.raises(ConfigurationError, match="no lock"):
            values.read(path)

    def test_a_newer_lock_and_a_missing_one(self, tmp_path):
        with pytest.raises(InvalidRequestError, match="Write one"):
            values.read(tmp_path)
        (tmp_path / "ogam.lock").write_text('{"format": 99}')
        with pytest.raises(ConfigurationError, match="newer"):
            values.read(tmp_path)

    @pytest.mark.parametrize(
        "package",
        [
            {"name": "a\n--index-url x", "version": "1"},
            {"name": "-r", "version": "1"},
            {"name": "a", "version": "1\nb"},
            {"name": "a", "version": "1", "files": {"f": "0\n--pre"}},
            {"name": "a", "version": "1", "source": "vcs", "url": "x\n--pre"},
        ],
    )
    def test_a_lock_cannot_give_pip_options(self, tmp_path, package):
        told = msgspec.json.decode(values.encode(lock()))
        told["packages"] = [package]
        (tmp_path / "ogam.lock").write_text(json.dumps(told))
        with pytest.raises(ConfigurationError):
            values.read(tmp_path)


def folder_ref(folder: Path) -> ModelRef:
    name = f"word2vec/{folder}"
    return ModelRef(name=name, engine="word2vec", model=str(folder), folder=folder)


class TestModels:
    def test_a_folder_is_copied_only_where_every_file_is_right(self, tmp_path):
        here, there = tmp_path / "here", tmp_path / "there"
        made = here / "runs" / "a" / "model"
        (made / "inner").mkdir(parents=True)
        (made / "one.txt").write_text("1")
        (made / "inner" / "two.txt").write_text("2")
        (made / ".half").write_text("not yet")
        (made.parent / "settings.json").write_text('{"settings": {"seed": 5}}')
        (one,) = models.lock([folder_ref(made), folder_ref(made)], here)
        assert set(one.files) == {"one.txt", "inner/two.txt"}
        assert (one.path, one.seed) == ("runs/a/model", 5)
        assert models.bring(one, there, []).startswith("copied from")
        assert models.wrong_files(one, there / "runs" / "a" / "model") == []
        assert models.bring(one, there, []) == "there already"
        # The original is damaged, a copy elsewhere is not.
        copied = (there / "runs").rename(tmp_path / "copies")
        (made / "one.txt").write_text("x")
        with pytest.raises(ConfigurationError, match="--models"):
            models.bring(one, there, [])
        assert not (there / "runs" / "a" / "model").exists()
        assert str(copied) in models.bring(one, there, [copied])
        # What is in its place is not touched.
        (there / "runs" / "a" / "model" / "one.txt").write_text("mine")
        with pytest.raises(ConfigurationError, match="not what the lock says"):
            models.bring(one, there, [copied])
        assert (there / "runs" / "a" / "model" / "one.txt").read_text() == "mine"

    def test_one_outside_of_the_folder_goes_into_models(self, tmp_path):
        made = tmp_path / "far" / "model"
        made.mkdir(parents=True)
        (made / "one.txt").write_text("1")
        (one,) = models.lock([folder_ref(made)], tmp_path / "here")
        assert one.path == "models/far-model"
        assert models.folder_of(one, tmp_path / "here") == made.resolve()

    def test_a_pulled_model_goes_back_into_its_collection(self, tmp_path, monkeypatch):
        first, second = tmp_path / "first", tmp_path / "second"
        made = first / "tiny"
        made.mkdir(parents=True)
        (made / "w.txt").write_text("1")
        manifest = {
            "name": "tiny",
            "engine": "word2vec",
            "capabilities": ["embed"],
            "files": {"w.txt": store.sha256(made / "w.txt")},
            "licence": "CC0",
            "source": "https://example.org/tiny",
            "pulled": {"origin": "hub:owner/tiny", "commit": "c0ffee", "include": []},
        }
        (made / "model.json").write_text(json.dumps(manifest))
        monkeypatch.setenv("OGAM_MODELS", str(first))
        ref = ModelRef(name="local/tiny", engine="word2vec", model="tiny", folder=made)
        (one,) = models.lock([ref], tmp_path)
        assert (one.source, one.revision, one.path) == ("owner/tiny", "c0ffee", "")
        monkeypatch.setenv("OGAM_MODELS", str(second))
        assert [each.here for each in check.check(lock(models=(one,)), tmp_path)][-1] == "missing"
        assert models.bring(one, tmp_path, []).startswith("copied from")
        assert store.damaged_files("local", "tiny") == []
        (made / "w.txt").write_text("2")
        monkeypatch.setenv("OGAM_MODELS", str(first))
        with pytest.raises(ConfigurationError, match="damaged"):
            models.lock([ref], tmp_path)

    @pytest.mark.parametrize(
        ("path", "file"),
        [("../x", "f"), ("/x", "f"), ("x", "../f"), ("x", "a/../../f"), ("x", "/f")],
    )
    def test_no_path_leads_out(self, path, file):
        assert models.escapes(Model(name="a", engine="a", files={file: A}, path=path))
        assert not models.escapes(Model(name="a", engine="a", files={"a/f": A}, path="x/y"))


def test_another_machine_differs_in_each_thing(tmp_path):
    other = Lock(
        ogam="0.1.0",
        python=Python(version="3.1.0", implementation="Other"),
        platform=Platform(system="Plan9", machine="pdp11"),
        packages=(Package(name="msgspec", version="0"), Package(name="not-there", version="1")),
        scope=("msgspec",),
    )
    found = {(one.kind, one.name): one for one in check.check(other, tmp_path)}
    assert {
        ("python", "version"),
        ("python", "implementation"),
        ("platform", "system"),
        ("platform", "machine"),
        ("package", "msgspec"),
        ("package", "not-there"),
        ("package", "typer"),  # Ogam needs it, the lock does not have it
    } <= set(found)
    assert ("package", "pytest") not in found
    assert found["package", "not-there"].here == "not installed"
    assert found["package", "typer"].locked == "not in the lock"
    assert all(one.remedy for one in found.values())


def test_the_reader_of_systems_knows_all_tags():
    tags = {
        "manylinux2014_x86_64": "Linux",
        "manylinux_2_28_aarch64": "Linux",
        "musllinux_1_2_x86_64": "Linux",
        "linux_x86_64": "Linux",
        "macosx_11_0_arm64": "macOS",
        "win_amd64": "Windows",
        "win32": "Windows",
    }
    for tag, system in tags.items():
        assert trouble._system(f"a-1-cp311-cp311-{tag}.whl") == system
