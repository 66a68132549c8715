"""Prices: read exactly, rounded up once, and never guessed."""

from __future__ import annotations

import contextlib
import datetime
import math
import tomllib
from fractions import Fraction
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ogam.capabilities.base import CAPABILITIES, Units
from ogam.errors import ConfigurationError, UnpricedError
from ogam.gateway.billing import Above
from ogam.gateway.money import NANO, dollars, parse
from ogam.gateway.prices import Billing, Book, Price

PAGE = Path(__file__).parent.parent.parent / "docs" / "prices.md"
BOOK = Book.load()
PRICES = [entry.price for entry in BOOK.shipped]
COUNT = st.integers(0, 10**9)
FEATURES = st.lists(st.sampled_from(["text", "objects", "labels", "a new one"]), max_size=4)
BILLINGS = st.builds(
    Billing,
    units=st.builds(
        Units,
        input_tokens=COUNT,
        output_tokens=COUNT,
        characters=COUNT,
        audio_ms=COUNT,
        image_features=st.integers(0, 8),
        cached_input_tokens=COUNT,
    ),
    features=FEATURES.map(tuple),
    cache_writes=st.none() | COUNT,
)


def row(**values):
    return {"vendor": "v", "models": ["m"], "capabilities": ["generate"], **values}


def price(**values) -> Price:
    made = row(**values)
    found = Book.load([made]).find("v", made["models"][0], made["capabilities"][0])
    assert found is not None
    return found


def cost(vendor, model, capability, **units):
    found = BOOK.find(vendor, model, capability)
    assert found is not None
    return found.cost(Billing(units=Units(**units)))


def fresh(units, cached=0):
    """``units``, of which so many were cached."""
    return replace(units, cached_input_tokens=cached)


def tokens(**units):
    return Billing(units=Units(**units), cache_writes=0)


# --- the shipped prices ------------------------------------------------------------------------


def test_every_shipped_row_says_where_its_figures_are_from_and_when_they_were_read():
    raw = tomllib.loads(resources.files("ogam.gateway").joinpath("prices.toml").read_text("utf-8"))
    assert raw["as_of"].isoformat() == BOOK.as_of
    for one in raw["prices"]:
        assert one["sources"]
        assert all(source.startswith("https://") for source in one["sources"])
        assert isinstance(one["checked"], datetime.date)
        assert one["checked"] <= raw["as_of"]


def test_every_shipped_row_is_found_by_its_names_and_no_two_claim_one():
    for entry in BOOK.shipped:
        for name in entry.models:
            if not set(name) & set("*?["):
                for capability in entry.capabilities:
                    assert BOOK.find(entry.vendor, name, capability) is entry.price
    claims = [
        (entry.vendor, name, capability)
        for entry in BOOK.shipped
        for name in entry.models
        for capability in entry.capabilities
    ]
    assert len(set(claims)) == len(claims)


@pytest.mark.parametrize(
    ("vendor", "model", "capability", "units", "amount"),
    [
        ("openai", "gpt-4o-mini", "generate", {"input_tokens": 10**6}, "0.15"),
        ("openai", "gpt-4o-mini", "generate", {"output_tokens": 1}, "0.0000006"),
        ("openai", "gpt-5.4-mini-2026-03-17", "generate", {"output_tokens": 10**6}, "4.50"),
        ("openai", "gpt-5.6-terra", "generate", {"output_tokens": 10**6}, "12"),
        ("openai", "text-embedding-3-small", "embed", {"input_tokens": 1}, "0.00000002"),
        ("openai", "text-embedding-3-large", "embed", {"input_tokens": 10**6}, "0.13"),
        ("openai", "tts-1", "speak", {"characters": 1}, "0.000015"),
        ("openai", "tts-1-hd", "speak", {"characters": 10**6}, "30"),
        ("openai", "whisper-1", "transcribe", {"audio_ms": 59_001}, "0.006"),
        ("openai", "gpt-4o-transcribe", "transcribe", {"output_tokens": 10**6}, "10"),
        ("openai", "omni-moderation-latest", "classify", {"input_tokens": 10**6}, "0"),
        ("elevenlabs", "eleven_v3", "speak", {"characters": 1000}, "0.10"),
        ("elevenlabs", "eleven_flash_v2_5", "speak", {"characters": 1000}, "0.05"),
        ("elevenlabs", "scribe_v1", "transcribe", {"audio_ms": 3_600_000}, "0.22"),
        ("deepl", "", "translate", {"characters": 10**6}, "25"),
        ("google_vision", "", "see", {"image_features": 1000}, "3.50"),
        ("google_speech", "default", "transcribe", {"audio_ms": 1}, "0.0004"),
        ("google_speech", "v1/video", "transcribe", {"audio_ms": 60_000}, "0.024"),
        ("google_speech", "v2/chirp_2", "transcribe", {"audio_ms": 60_000}, "0.016"),
    ],
)
def test_what_vendors_publish_is_what_calls_cost(vendor, model, capability, units, amount):
    assert cost(vendor, model, capability, **units) == parse(amount)


@pytest.mark.parametrize(
    ("vendor", "model", "capability"),
    [
        ("openai", "gpt-4o-mini-tts", "generate"),
        ("openai", "gpt-4o-mini-audio-preview", "generate"),
        ("openai", "gpt-4o-mini-search-preview", "generate"),
        ("openai", "gpt-4o-2024-05-13", "generate"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::1", "generate"),
        ("openai", "gpt-5.4-mini-pro", "generate"),
        ("openai", "GPT-4o-mini", "generate"),
        ("openai", "gpt-4o-mini", "speak"),
        ("openai", "", "generate"),
        ("google_speech", "medical_dictation", "transcribe"),
        ("google_speech", "chirp_2", "transcribe"),
        ("nobody", "gpt-4o-mini", "generate"),
    ],
)
def test_what_is_not_surely_known_has_no_price(vendor, model, capability):
    assert BOOK.find(vendor, model, capability) is None


def test_a_price_knows_the_day_it_is_of():
    found = BOOK.find("openai", "gpt-4o-mini", "generate")
    assert datetime.date.fromisoformat(found.version)


# --- costs -------------------------------------------------------------------------------------


@given(st.sampled_from(PRICES), BILLINGS, BILLINGS, st.booleans())
def test_more_never_costs_less(price, billing, more, batch):
    grown = Billing(
        units=billing.units + more.units,
        features=billing.features,
        cache_writes=billing.cache_writes,
    )
    grown = replace(grown, units=fresh(grown.units, billing.units.cached_input_tokens))
    # What is not known to be cheaper is charged in full.
    unknown = Billing(units=fresh(grown.units), features=billing.features)
    try:
        low = price.cost(billing, batch=batch)
    except UnpricedError:
        return
    assert 0 <= low <= price.cost(grown, batch=batch) <= price.cost(unknown, batch=batch)
    assert type(low) is int


@given(st.sampled_from([one for one in PRICES if one.long is None]), BILLINGS, BILLINGS)
def test_two_calls_cost_together_what_they_cost_apart_within_their_rounding(price, one, other):
    try:
        apart = price.cost(one) + price.cost(other)
        # Cached tokens beyond those there are move to the other call when they are added.
        together = price.cost(one + other)
    except UnpricedError:
        return
    if price.bills == "tokens":
        plain = [Billing(units=fresh(each.units)) for each in (one, other)]
        apart, together = sum(map(price.cost, plain)), price.cost(plain[0] + plain[1])
    if price.bills == "features":
        named = [Billing(features=each.features) for each in (one, other)]
        apart, together = sum(map(price.cost, named)), price.cost(named[0] + named[1])
    step = price.audio * price.step_ms
    # Each of the two is rounded up by less than one.
    assert together <= apart < together + 2 + step


def test_a_cost_is_rounded_up_once_for_a_whole_call():
    cheap = price(input="0.0001", output="0.0003")
    assert cheap.cost(tokens(input_tokens=1)) == 1
    assert cheap.cost(tokens(input_tokens=10)) == 1
    assert cheap.cost(tokens(input_tokens=11)) == 2
    assert cheap.cost(tokens(input_tokens=4, output_tokens=2)) == 1


@given(st.integers(0, 10**12), COUNT)
def test_a_cost_is_exact_whatever_the_figures(nano, count):
    amount = dollars(nano)
    found = price(input=amount, output="0")
    exact = Fraction(nano * count, 10**6)
    assert exact <= found.cost(tokens(input_tokens=count)) < exact + 1


def test_cached_tokens_are_cheaper_where_the_vendor_says_how_many():
    mini = BOOK.find("openai", "gpt-4o-mini", "generate")
    units = Units(input_tokens=1000)
    assert mini.cost(Billing(units=units)) == 150_000
    assert mini.cost(Billing(units=fresh(units, 400))) == 600 * 150 + 400 * 75
    assert mini.cost(Billing(units=fresh(units, 9999))) == 75_000
    assert mini.cost(Billing(units=fresh(units, -5))) == 150_000


@given(st.sampled_from([one for one in PRICES if one.bills == "tokens"]), COUNT, COUNT, COUNT)
def test_cached_tokens_cost_what_they_come_to_by_hand_and_never_more(price, read, cached, wrote):
    units = Units(input_tokens=read, output_tokens=wrote, cached_input_tokens=cached)
    if not read + wrote:
        return
    found = price.cost(Billing(units=units))
    assert found <= price.cost(Billing(units=fresh(units)))
    cheap = 0 if price.cached is None else min(read, cached)
    # Nobody said what was written to the cache: all of the rest may have been.
    dear = price.cache_write or price.input
    long = price.long if price.long and read > price.long.above else Above(0, Fraction(1))
    by_hand = cheap * (price.cached or 0) + (read - cheap) * dear
    assert found == math.ceil(by_hand * long.factor + wrote * price.output * long.output)


def test_a_write_to_the_cache_is_charged_where_the_vendor_does_not_say():
    luna = BOOK.find("openai", "gpt-5.6-luna", "generate")
    units = Units(input_tokens=1000)
    assert luna.cost(Billing(units=units)) == 250_000
    assert luna.cost(Billing(units=units, cache_writes=0)) == 200_000
    assert luna.cost(Billing(units=fresh(units, 500), cache_writes=100)) == 115_000


def test_a_long_prompt_is_dearer_from_its_first_token():
    luna = BOOK.find("openai", "gpt-5.6-luna", "generate")
    at, above = (tokens(input_tokens=n, output_tokens=1000) for n in (272_000, 272_001))
    assert luna.cost(at) == 272_000 * 200 + 1000 * 1200
    assert luna.cost(above) == 2 * 272_001 * 200 + 1000 * 1800


def test_a_batch_costs_its_part():
    mini = BOOK.find("openai", "gpt-4o-mini", "generate")
    assert mini.cost(tokens(input_tokens=1000), batch=True) == 75_000
    deepl = BOOK.find("deepl", "", "translate")
    assert deepl.cost(Billing(units=Units(characters=4)), batch=True) == 100_000


def test_seconds_are_billed_in_steps_and_from_a_minimum():
    found = price(capabilities=["transcribe"], minute="0.60", step_ms=15_000, minimum_ms=20_000)
    for milliseconds, billed in ((0, 0), (1, 20_000), (20_001, 30_000), (30_000, 30_000)):
        expected = billed * parse("0.60") // 60_000
        assert found.cost(Billing(units=Units(audio_ms=milliseconds))) == expected


def test_each_feature_has_its_own_price_and_what_is_not_named_the_dearest():
    vision = BOOK.find("google_vision", "", "see")

    def of(count, *features):
        return vision.cost(Billing(units=Units(image_features=count), features=features))

    assert of(1, "text") == parse("0.0015")
    assert of(2, "text", "objects") == parse("0.00375")
    assert of(2, "text") == parse("0.005")
    assert of(0, "text") == parse("0.0015")
    assert of(3) == 3 * parse("0.0035")
    assert of(1, "a feature of next year") == parse("0.0035")


def test_a_months_free_units_count_only_where_the_month_is_told():
    vision = BOOK.find("google_vision", "", "see")
    one = Billing(units=Units(image_features=1), features=("text",))
    assert [vision.cost(one, already=n) for n in (0, 999, 1000, 10**7)] == [0, 0, 1.5e6, 1.5e6]
    assert vision.cost(one) == 1_500_000
    speech = BOOK.find("google_speech", "", "transcribe")
    half = Billing(units=Units(audio_ms=60_000))
    assert speech.cost(half, already=3_600_000 - 30_000) == parse("0.012")


@given(st.sampled_from(PRICES), BILLINGS, st.integers(-5, 10**10))
def test_no_discount_of_a_month_costs_more_than_none(price, billing, already):
    with contextlib.suppress(UnpricedError):
        assert 0 <= price.cost(billing, already=already) <= price.cost(billing)


@pytest.mark.parametrize("found", PRICES, ids=lambda one: one.words)
def test_units_that_a_price_does_not_bill_are_never_taken_for_nothing(found):
    others = {"tokens": Units(audio_ms=5), "characters": Units(input_tokens=5)}
    units = others.get(found.bills, Units(characters=5))
    if found.bills == "nothing":
        assert found.cost(Billing(units=units)) == 0
        return
    with pytest.raises(UnpricedError):
        found.cost(Billing(units=units))


def test_a_vendor_that_counts_below_zero_earns_nothing_by_it():
    mini = BOOK.find("openai", "gpt-4o-mini", "generate")
    assert mini.cost(tokens(input_tokens=1000, output_tokens=-900)) == 150_000


def test_free_is_said_in_words():
    free = Price.free("it runs on this machine")
    assert free.version == "free: it runs on this machine"
    assert free.words == "free"
    assert free.cost(Billing(units=Units(input_tokens=10**9))) == 0


# --- finding -----------------------------------------------------------------------------------


def test_the_most_specific_name_wins_and_then_the_earlier_row():
    def made(*names, amount):
        return row(models=list(names), input=amount, output="0")

    book = Book.load(
        [
            made("*", amount="1"),
            made("gpt-*", amount="2"),
            made("gpt-*-mini", amount="3"),
            made("gpt-4*", amount="4"),
            made("gpt-4-mini", amount="5"),
            made("gpt-4*", amount="6"),
            made("[a-c]at", amount="7"),
        ]
    )
    found = {
        name: book.find("v", name, "generate").input * 10**6 / NANO
        for name in ("gpt-4-mini", "gpt-4-large", "gpt-5-mini", "gpt-5", "llama", "bat", "[a-c]at")
    }
    assert list(found.values()) == [5, 4, 3, 2, 1, 7, 7]


@given(st.permutations(["*", "g*", "gp*", "gpt", "g?t", "[g]pt"]), st.text(max_size=4))
def test_the_order_of_rows_does_not_matter_where_patterns_differ(patterns, model):
    def chosen(names):
        rows = [row(models=[name], input=str(len(name)), output="0", note=name) for name in names]
        return Book.load(rows).find("v", model, "generate").note

    assert chosen(patterns) == chosen(sorted(patterns))


def test_a_row_of_ones_own_comes_first_and_its_version_says_so():
    wide = row(vendor="openai", models=["*"], input="9", output="9")
    day = {**wide, "models": ["gpt-4o-mini"], "checked": "2027-01-31"}
    book = Book.load([wide, day])
    assert book.find("openai", "gpt-4o", "generate").version == "ogam.toml"
    assert book.find("openai", "gpt-4o-mini", "generate").version == "ogam.toml 2027-01-31"
    assert book.find("openai", "tts-1", "speak") is BOOK.find("openai", "tts-1", "speak")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"input": 0.15, "output": "1"}, "input"),
        ({"input": "-1", "output": "1"}, "input"),
        ({"input": "1e3", "output": "1"}, "input"),
        ({"input": "nan", "output": "1"}, "input"),
        ({"input": "1"}, "output"),
        ({"output": "1"}, "input"),
        ({}, "input"),
        ({"input": "1", "output": "1", "characters": "1"}, "input"),
        ({"minute": "1", "hour": "1"}, "minute"),
        ({"input": "1", "output": "1", "cached": "2"}, "cached"),
        ({"input": "2", "output": "1", "cache_write": "1"}, "cache_write"),
        ({"input": "1", "output": "1", "batch": "1.5"}, "batch"),
        ({"input": "1", "output": "1", "batch": "-1"}, "batch"),
        ({"input": "1", "output": "1", "price": "1"}, "price"),
        ({"input": "1", "output": "1", "models": []}, "models"),
        ({"input": "1", "output": "1", "models": "m"}, "models"),
        ({"input": "1", "output": "1", "vendor": ""}, "vendor"),
        ({"input": "1", "output": "1", "capabilities": ["sing"]}, "capabilities"),
        ({"input": "1", "output": "1", "checked": "yesterday"}, "checked"),
        ({"input": "1", "output": "1", "output_limit": 0}, "output_limit"),
        ({"minute": "1", "step_ms": 0}, "step_ms"),
        ({"minute": "1", "minimum_ms": -1}, "minimum_ms"),
        ({"features": {"text": "x"}}, "features.text"),
        (
            {"input": "1", "output": "1", "long": {"above": 5, "input": "0.5", "output": "1"}},
            "long.input",
        ),
        (
            {"input": "1", "output": "1", "long": {"above": -5, "input": "1", "output": "1"}},
            "long.above",
        ),
        ({"characters": "1", "tiers": [{"above": 5, "factor": "1"}]}, "tiers"),
        ({"characters": "1", "tiers": [{"above": 0, "factor": "2"}]}, "tiers.factor"),
        ({"characters": "1", "documents": {"kinds": ["pdf"]}}, "minimum"),
        (
            {"characters": "1", "documents": {"kinds": ["pdf"], "minimum": 5, "maximum": 4}},
            "documents.maximum",
        ),
    ],
)
def test_a_wrong_row_is_named_with_its_field(wrong, told):
    good = row(input="1", output="1")
    with pytest.raises(ConfigurationError) as caught:
        Book.load([good, row(**wrong)])
    assert caught.value.message.startswith("Row 2 of [[prices]]")
    assert told in caught.value.message
    assert "\n" not in str(caught.value)


# --- the page ----------------------------------------------------------------------------------


def table() -> str:
    lines = ["| vendor | models | for | price | more | from |", "|---|---|---|---|---|---|"]
    for vendor, models, capabilities, found in BOOK.shipped:
        names = ", ".join(f"`{one}`" if one else "none named" for one in models)
        source = "; ".join(f"[{n}]({url})" for n, url in enumerate(found.sources, 1))
        cells = (
            vendor,
            names,
            ", ".join(capabilities),
            found.words,
            "; ".join(more(found)),
            source,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def more(found: Price) -> list[str]:
    told = []
    if found.long:
        told.append(
            f"above {found.long.above:,} tokens in: x {float(found.long.factor):g} in, "
            f"x {float(found.long.output):g} out"
        )
    if found.step_ms > 1:
        told.append(f"rounded up to {found.step_ms / 1000:g} s")
    if found.per_channel:
        told.append("each channel")
    if found.documents:
        told.append(
            f"{', '.join(found.documents.kinds)}: at least {found.documents.minimum:,} each"
        )
    if len(found.tiers) > 1 and found.tiers[0].factor == 0:
        first = found.tiers[1].above
        told.append(
            f"first {first // 60_000} minutes a month free"
            if found.bills == "audio"
            else f"first {first:,} a month free"
        )
    if found.batch is not None:
        told.append(f"in a batch x {float(found.batch):g}")
    return [*told, found.note] if found.note else told


def test_the_page_shows_the_prices_there_are():
    page = PAGE.read_text(encoding="utf-8")
    assert table() in page, f"docs/prices.md should hold:\n{table()}"
    assert f"as of {BOOK.as_of}" in page


def test_the_page_names_every_field_of_a_row():
    page = PAGE.read_text(encoding="utf-8")
    from ogam.gateway import price_rows

    for field in price_rows._Row.__struct_fields__:
        assert f"`{field}`" in page, field
    assert all(set(entry.capabilities) <= set(CAPABILITIES) for entry in BOOK.shipped)
