"""A breaker opens after failures, lets one probe through at a time, and obeys Retry-After."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ogam.gateway.breaker import FAILURES, LONGEST_REST, REST, Breaker


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _broken(clock: _Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        assert breaker.admit()
        breaker.failed()
    return breaker


def test_it_stays_closed_while_failures_are_fewer_than_it_takes() -> None:
    breaker = Breaker(_Clock())
    for _ in range(FAILURES - 1):
        assert breaker.admit()
        breaker.failed()
    assert breaker.state == "closed"
    assert breaker.admit()
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert breaker.state == "closed"


def test_after_failures_in_a_row_nothing_is_let_through_for_a_while() -> None:
    clock = _Clock()
    breaker = _broken(clock)
    assert breaker.state == "open"
    assert not breaker.admit()
    assert breaker.wait() == REST


def test_then_one_probe_at_a_time_is_let_through_and_its_success_closes_it() -> None:
    clock = _Clock()
    breaker = _broken(clock)
    clock.now += REST
    assert breaker.admit()
    assert not breaker.admit()
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.admit()


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    clock = _Clock()
    breaker = _broken(clock)
    clock.now += REST
    assert breaker.admit()
    breaker.failed()
    assert breaker.wait() == 2 * REST


def test_a_probe_that_teaches_nothing_makes_room_for_the_next() -> None:
    clock = _Clock()
    breaker = _broken(clock)
    clock.now += REST
    assert breaker.admit()
    breaker.passed()
    assert breaker.admit()


def test_a_vendor_that_asks_for_time_gets_it_at_once() -> None:
    clock = _Clock()
    breaker = Breaker(clock)
    breaker.failed(retry_after=7.0)
    assert not breaker.admit()
    assert breaker.wait() == 7.0
    clock.now += 7.0
    assert breaker.admit()


@given(st.lists(st.sampled_from(["fail", "succeed", "pass", "later"]), max_size=60))
def test_it_never_rests_longer_than_its_longest_rest_and_always_comes_back(
    events: list[str],
) -> None:
    clock = _Clock()
    breaker = Breaker(clock)
    for event in events:
        if event == "later":
            clock.now += 1.0
        elif breaker.admit():
            {"fail": breaker.failed, "succeed": breaker.succeeded, "pass": breaker.passed}[event]()
        assert 0 <= breaker.wait() <= LONGEST_REST
    clock.now += LONGEST_REST
    assert breaker.admit()
