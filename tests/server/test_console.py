"""The console: served as it is, names only what is answered, speaks two languages."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib import resources

import pytest

from ogam.config import Config, Routes
from ogam.server.run import protocols

FOLDER = resources.files("ogam.server.console")
PAGE, APP, USAGE, WORDS = (
    (FOLDER / name).read_text(encoding="utf-8")
    for name in ("index.html", "app.js", "usage.js", "words.json")
)
SCRIPT = APP + USAGE
PATHS = ("/", "/console/app.js", "/console/usage.js", "/console/style.css", "/console/words.json")
# Elements that HTML never closes.
VOID = {"input", "link", "meta", "br", "img"}


class Page(HTMLParser):
    """The elements with their attributes; an element that is not closed is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(PAGE)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def values(self, attribute):
        """All values of an attribute."""
        return [own[attribute] for _, own in self.found if attribute in own]


@pytest.mark.parametrize("path", PATHS)
def test_every_part_is_served_and_not_sent_twice(fake, path):
    answer = fake.http.get(path)
    assert answer.status_code == 200
    assert answer.content
    again = fake.http.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [*PATHS, "/console/state.json"])
def test_nothing_but_the_server_itself_is_trusted(fake, path):
    policy = dict(
        one.strip().split(" ", 1)
        for one in fake.http.get(path).headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy)


def test_the_page_needs_nothing_that_its_policy_forbids():
    page = Page()
    assert not page.values("style")
    assert not [name for _, own in page.found for name in own if name.startswith("on")]
    assert not re.search(r"<script[^>]*>[^<]", PAGE)
    assert set(page.values("src") + page.values("href")) <= {*PATHS, "/openapi.json", "data:,"}
    assert "http://" not in SCRIPT
    assert "https://" not in SCRIPT


def test_every_endpoint_that_it_names_is_answered(fake):
    named = set(re.findall(r'"(/(?:v\d|console)/[^"]+)"', SCRIPT))
    routes = {route.path for protocol in protocols() for route in protocol.routes}
    assert len(named) >= 7
    for path in named:
        assert path in routes or fake.http.get(path).status_code == 200, path


def test_both_languages_have_the_same_words():
    words = json.loads(WORDS)
    assert set(words) == {"en", "ko"}
    assert list(words["en"]) == list(words["ko"])
    for key, english in words["en"].items():
        assert words["ko"][key].strip()
        assert set(re.findall(r"\{\w+\}", english)) == set(
            re.findall(r"\{\w+\}", words["ko"][key])
        ), key


def test_every_word_that_is_used_is_known_and_none_is_left_over():
    page, known = Page(), set(json.loads(WORDS)["en"])
    used = {*page.values("data-t"), *page.values("data-v"), *page.values("data-label")}
    assert used <= known
    assert {key for key in known if key not in used and f'"{key}"' not in SCRIPT} == set()
    assert set(re.findall(r'say\("(\w+)"', SCRIPT)) <= known


def test_every_field_has_a_label_and_every_reference_leads_somewhere():
    page = Page()
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    labelled = set(page.values("for"))
    fields = [own for tag, own in page.found if tag in ("input", "textarea", "select")]
    assert all(own["id"] in labelled for own in fields if own.get("type") != "checkbox")
    for attribute in ("for", "aria-controls", "aria-labelledby", "aria-describedby"):
        assert set(page.values(attribute)) <= set(ids)
    assert set(re.findall(r'\$\("([\w-]+)"\)', SCRIPT)) <= set(ids)


def test_the_state_tells_what_answers_and_what_is_missing(serving):
    routes = Routes(embed=("fake",), speak=("no-such-engine",), generate=())
    state = serving(Config(routes=routes)).http.get("/console/state.json").json()
    assert state["key_needed"] is False
    assert state["ready"] is True
    assert state["routes"]["embed"] == [{"model": "fake", "ready": True, "why": ""}]
    assert state["routes"]["generate"] == []
    (broken,) = state["routes"]["speak"]
    assert not broken["ready"]
    assert "no-such-engine" in broken["why"]


def test_the_state_is_for_those_with_a_key_and_the_page_for_all(serving):
    http = serving(keys=("s3cret",)).http
    assert http.get("/").status_code == 200
    refused = http.get("/console/state.json")
    assert refused.status_code == 401
    assert refused.json()["error"]["message"]
    answer = http.get("/console/state.json", headers={"authorization": "Bearer s3cret"})
    assert answer.json()["key_needed"] is True
    assert "s3cret" not in answer.text
