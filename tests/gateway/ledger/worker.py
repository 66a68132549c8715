"""Processes that make calls at a vendor that writes its bills into a file.

Each line of the input is ``PLACE BILLS SEED CALLS OUTPUT``: a process is forked, whose number is
printed, and makes as many calls as are told, all at once, each with a random end; if their number
is negative, so many at once for ever. It writes into OUTPUT "ready" once its ledger is open, and
at last how many attempts were admitted and refused. Forked, because to start and to import takes
longer than the calls.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys

from ogam.errors import BudgetError, LedgerError
from ogam.gateway.ledger import Hold, Ledger, Row, Settlement
from ogam.gateway.ledger import queries as _queries  # noqa: F401  # loaded once for all
from ogam.gateway.ledger import writer as _writer  # noqa: F401

NOON = 1_795_348_800_000


async def main(place: str, bills: str, seed: int, calls: int) -> None:
    chance = random.Random(seed)
    vendor = os.open(bills, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    ledger = Ledger(place, wait=20)
    await ledger.open()
    print("ready", flush=True)
    count = {"admitted": 0, "refused": 0}

    async def attempt(call: str, number: int) -> tuple[Settlement | None, bool]:
        """One attempt: how its hold ends, and whether it was answered."""
        hold, bound, at_once = f"{call}-{number}", chance.randint(1, 100), chance.random() < 0.5
        await asyncio.sleep(chance.random() * 0.1)
        try:
            await ledger.hold(
                Hold(
                    id=hold,
                    call=call,
                    at=NOON,
                    key=chance.choice("ab"),
                    capability="generate",
                    vendor="openai",
                    model="openai/m",
                    bound=bound,
                    sent=at_once,
                )
            )
        except BudgetError:
            count["refused"] += 1
            return None, True
        count["admitted"] += 1
        end = chance.random()
        if end < 0.1:
            return Settlement(hold=hold, outcome="released"), False
        if not at_once:
            await ledger.sent(hold)
        cost = chance.randint(0, bound)
        if end < 0.2:  # the connection broke: it may be billed, and we do not hear of it
            if end < 0.15:
                os.write(vendor, f"{hold} {cost}\n".encode())
            return Settlement(hold=hold, outcome="unknown"), False
        os.write(vendor, f"{hold} {cost}\n".encode())
        await asyncio.sleep(chance.random() * 0.1)
        return Settlement(hold=hold, cost=cost), True

    async def call(number: int) -> None:
        await one(f"{seed}.{number}")
        again = 0
        while calls < 0:
            again += 1
            await one(f"{seed}.{number}.{again}")

    async def one(name: str) -> None:
        ends: list[Settlement] = []
        for tried in range(3):
            end, answered = await attempt(name, tried)
            if end is not None:
                ends.append(end)
            if answered:
                break
        row = Row(id=name, at=NOON, capability="generate", engine="openai", model="openai/m")
        ledger.settle(row, ends)

    try:
        await asyncio.gather(*(call(number) for number in range(abs(calls))))
        await ledger.close()
    except LedgerError as error:
        print(error, flush=True)
    print("done", count["admitted"], count["refused"], flush=True)


def child(place: str, bills: str, seed: str, calls: str, output: str) -> None:
    """The forked process: never returns."""
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        logging.disable()
        asyncio.run(main(place, bills, int(seed), int(calls)))
    finally:
        os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead vanish at once
    for line in sys.stdin:
        if not (forked := os.fork()):
            child(*line.split())
        print(forked, flush=True)
