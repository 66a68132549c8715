"""How much a key may ask for: buckets that fill evenly, debts, places that come free."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import Units
from ogam.errors import AuthenticationError, ForbiddenError, RateLimitedError
from ogam.gateway.caller import Caller
from ogam.gateway.keys import ANYONE, Key, Keys
from ogam.gateway.ledger import StoredKey
from ogam.gateway.limits import Bucket, Limits
from ogam.gateway.policy import Policy, stored


@given(
    st.integers(1, 600),
    st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=60),
)
def test_no_more_goes_through_than_a_minutes_worth_and_the_rate(most, pauses):
    bucket, now, taken = Bucket(most, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        while bucket.wait(now) == 0.0:
            bucket.take(1, now)
            taken += 1
    assert taken <= most + most * now / 60 + 1e-6


@given(st.integers(1, 10_000), st.floats(0, 1e6), st.floats(0, 1e3))
def test_the_time_that_is_told_is_enough(most, amount, at):
    bucket = Bucket(most, 0.0)
    bucket.take(amount, at)
    wait = bucket.wait(at)
    assert bucket.wait(at + wait) <= 1e-6 * max(1.0, wait)


def limits(**policy) -> tuple[Limits, Caller]:
    own = Policy(**policy)
    keys = Keys()
    keys.take([_stored("k", own)])
    return Limits(keys), Caller(key=Key(id="k", name="team"), protocol="openai")


def _stored(identity: str, policy: Policy, **more) -> StoredKey:
    return StoredKey(
        id=identity,
        name="team",
        hash="0" * 64,
        created=1,
        limits=policy.limits,
        allowed=policy.allowed,
        **more,
    )


def test_who_shows_no_key_is_not_counted():
    own, _ = limits(requests_per_minute=1)
    for _ in range(3):
        assert own.admit(Caller(key=ANYONE), "speak") is None


def test_a_debt_of_units_is_worked_off():
    own, caller = limits(tokens_per_minute=100)
    ticket = own.admit(caller, "generate")
    assert ticket is not None
    ticket.close(Units(input_tokens=150, output_tokens=50))
    with pytest.raises(RateLimitedError) as found:
        own.admit(caller, "generate")
    # 100 over, and one to go on with.
    assert found.value.retry_after == pytest.approx(101 * 60 / 100, abs=1)
    assert found.value.limit == "tokens"


def test_each_kind_of_unit_has_a_limit_of_its_own():
    own, caller = limits(characters_per_minute=10, audio_seconds_per_minute=10)
    first = own.admit(caller, "speak")
    first.close(Units(characters=5, audio_ms=4000, input_tokens=10**6))
    second = own.admit(caller, "transcribe")
    second.close(Units(audio_ms=6000))
    with pytest.raises(RateLimitedError, match="10 seconds of sound"):
        own.admit(caller, "transcribe")


def test_a_place_comes_free_once_and_also_for_a_call_that_never_began():
    own, caller = limits(concurrent=2)
    first, second = own.admit(caller, "speak"), own.admit(caller, "speak")
    with pytest.raises(RateLimitedError) as found:
        own.admit(caller, "speak")
    assert found.value.limit == "concurrent"
    first.close(Units())
    first.close(Units())
    assert own.running(caller.key) == 1
    del second
    assert own.running(caller.key) == 0


def test_what_is_refused_counts_for_nothing():
    own, caller = limits(requests_per_minute=2, concurrent=1)
    ticket = own.admit(caller, "speak")
    for _ in range(5):
        with pytest.raises(RateLimitedError, match="at a time"):
            own.admit(caller, "speak")
    ticket.close(Units())
    assert own.admit(caller, "speak") is not None


def test_counts_go_on_when_the_keys_are_read_again():
    policy = Policy(requests_per_minute=1)
    keys = Keys()
    keys.take([_stored("k", policy)])
    own, caller = Limits(keys), Caller(key=Key(id="k"))
    assert own.admit(caller, "speak")
    keys.take([_stored("k", policy), _stored("other", policy)])
    with pytest.raises(RateLimitedError):
        own.admit(caller, "speak")


def test_what_a_key_may_do_is_asked_of_it_as_it_stands_now():
    keys = Keys()
    keys.take([_stored("k", Policy(capabilities=("see",)))])
    own, caller = Limits(keys), Caller(key=Key(id="k"), protocol="openai")
    with pytest.raises(ForbiddenError, match="may not speak"):
        own.admit(caller, "speak")
    keys.take([_stored("k", Policy(protocols=("deepl",)))])
    with pytest.raises(ForbiddenError, match="not for the protocol openai"):
        own.admit(caller, "speak")
    keys.take([_stored("k", Policy(), revoked=int(time.time() * 1000))])
    with pytest.raises(AuthenticationError, match="was revoked"):
        own.admit(caller, "speak")


@given(
    st.builds(
        Policy,
        capabilities=st.lists(st.sampled_from(["see", "speak"]), unique=True).map(tuple),
        models=st.lists(st.text(), max_size=3).map(tuple),
        protocols=st.lists(st.sampled_from(["openai", "deepl"]), unique=True).map(tuple),
        requests_per_minute=st.none() | st.integers(1, 9**9),
        concurrent=st.none() | st.integers(1, 9**9),
    )
)
def test_a_policy_comes_out_of_the_ledger_as_it_went_in(policy):
    assert stored(policy.allowed, policy.limits) == policy


def test_the_clients_name_or_the_model_must_fit():
    policy = Policy(models=("gpt-4o-*", "starter/*"))
    assert policy.allows_model("gpt-4o-mini", "openai/gpt-4o-mini")
    assert policy.allows_model("anything", "starter/write")
    assert not policy.allows_model("gpt-5", "openai/gpt-5")
    assert not policy.allows_model("", "openai/gpt-4o-mini")
    assert Policy().allows_model("", "openai/gpt-5")
