"""Bounded queues, and small requests carried out together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogam.capabilities.base import ModelRef
from ogam.capabilities.classification import ClassifyRequest
from ogam.capabilities.embedding import EmbedRequest
from ogam.capabilities.translation import TranslateRequest
from ogam.config import Config, Routes
from ogam.engines.fake import FakeEngine
from ogam.errors import InvalidRequestError, OverloadedError
from ogam.gateway.dispatch import Gateway
from ogam.gateway.queues import Batcher, Door, places

FAKE = FakeEngine(ModelRef(name="fake", engine="fake"))
WORDS = st.lists(st.text("abc ", min_size=1).filter(str.strip), min_size=1, max_size=4)


class Slow:
    """Runs requests on the fake engine when told to, and remembers how they were joined."""

    def __init__(self, work) -> None:
        self.work, self.batches = work, []

    async def __call__(self, request):
        self.batches.append(request.texts)
        await asyncio.sleep(0.001)
        if "bad" in request.texts:
            raise InvalidRequestError("bad text")
        return self.work(request)


async def gathered(slow, requests):
    batcher = Batcher(slow)
    return await asyncio.gather(*(batcher.submit(one) for one in requests), return_exceptions=True)


@given(st.lists(WORDS, min_size=1, max_size=12))
def test_together_every_request_gets_what_it_gets_alone(every):
    for work, made in (
        (FAKE.embed, lambda texts: EmbedRequest(texts=tuple(texts))),
        (FAKE.classify, lambda texts: ClassifyRequest(texts=tuple(texts), labels=("x", "y"))),
        (FAKE.translate, lambda texts: TranslateRequest(texts=tuple(texts), target="ko")),
    ):
        requests = [made(texts) for texts in every]
        slow = Slow(work)
        assert asyncio.run(gathered(slow, requests)) == [work(one) for one in requests]
        assert len(slow.batches) == 1


def test_what_comes_while_a_batch_runs_is_the_next_batch():
    async def main():
        slow = Slow(FAKE.embed)
        batcher = Batcher(slow)
        first = asyncio.create_task(batcher.submit(EmbedRequest(texts=("a",))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.gather(first, *(batcher.submit(EmbedRequest(texts=(t,))) for t in "bcd"))
        assert slow.batches == [("a",), ("b", "c", "d")]

    asyncio.run(main())


def test_requests_that_differ_in_more_than_their_texts_are_not_joined():
    slow = Slow(FAKE.translate)
    requests = [
        TranslateRequest(texts=("a",), target=target) for target in ("ko", "de", "ko", "de", "ko")
    ]
    assert [one.target for one in asyncio.run(gathered(slow, requests))] == [
        one.target for one in requests
    ]
    assert len(slow.batches) == 2


def test_a_bad_request_fails_alone():
    slow = Slow(FAKE.embed)
    texts = ("one", "two", "bad", "four")
    found = asyncio.run(gathered(slow, [EmbedRequest(texts=(one,)) for one in texts]))
    assert [isinstance(one, InvalidRequestError) for one in found] == [False, False, True, False]


def test_a_caller_who_leaves_does_not_hold_up_the_others():
    async def main():
        slow = Slow(FAKE.embed)
        batcher = Batcher(slow)
        tasks = [
            asyncio.create_task(batcher.submit(EmbedRequest(texts=(str(at),)))) for at in range(9)
        ]
        await asyncio.sleep(0)
        tasks[4].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[4], asyncio.CancelledError)
        assert all(len(one.vectors) == 1 for at, one in enumerate(found) if at != 4)
        assert [texts.count("4") for texts in slow.batches] == [0]

    asyncio.run(main())


def test_a_full_door_refuses_and_says_when_to_come_again():
    async def main():
        door = Door("m", 2)
        async with door.entered(patient=False), door.entered(patient=False):
            with pytest.raises(OverloadedError, match="m has 2") as found:
                async with door.entered(patient=False):
                    pass
            assert found.value.retry_after >= 1
        async with door.entered(patient=False):
            pass

    asyncio.run(main())


def test_the_patient_wait_outside_and_all_get_in():
    async def main():
        door = Door("m", 2)
        inside = most = 0

        async def work():
            nonlocal inside, most
            async with door.entered(patient=True):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.001)
                inside -= 1

        tasks = [asyncio.create_task(work()) for _ in range(20)]
        await asyncio.sleep(0.0005)
        tasks[5].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(one is None for one in found) >= 19
        assert most == 2

    asyncio.run(main())


def test_small_requests_that_join_share_a_place_and_large_ones_take_one():
    one = places(EmbedRequest(texts=("a",)))
    assert places(EmbedRequest(texts=("a", "b"))) == 2 * one < 1
    assert places(EmbedRequest(texts=("a",) * 2048)) == 1

    async def main():
        door = Door("m", 1)
        async with AsyncExitStack() as stack:
            for _ in range(round(1 / one)):
                await stack.enter_async_context(door.entered(patient=False, places=one))
            with pytest.raises(OverloadedError):
                await stack.enter_async_context(door.entered(patient=False, places=one))
        async with door.entered(patient=False):
            pass

    asyncio.run(main())


def test_one_who_leaves_just_as_the_door_opens_lets_the_next_in():
    async def main():
        door = Door("m", 1)

        async def work():
            async with door.entered(patient=True):
                pass

        async with door.entered(patient=False):
            first, second = (asyncio.create_task(work()) for _ in range(2))
            await asyncio.sleep(0)
        first.cancel()  # the place is its own already, and it has not taken it yet
        await asyncio.wait_for(second, 5)

    asyncio.run(main())


def test_without_a_queue_nobody_is_refused():
    every = Routes(embed=("fake",))

    async def main(queue):
        gateway = Gateway(Config(routes=every, threads=2), queue=queue)
        try:
            asked = (
                gateway.answer("embed", EmbedRequest(texts=(str(at),)), object, None)
                for at in range(100)
            )
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            gateway.close()

    assert not any(isinstance(one, Exception) for one in asyncio.run(main(None)))
    refused = [one for one in asyncio.run(main(10)) if isinstance(one, OverloadedError)]
    # Ten places: eight small texts to one.
    assert len(refused) == 20
