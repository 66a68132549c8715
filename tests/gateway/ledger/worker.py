"""A process that makes calls at a vendor that writes its bills into a file.

``worker.py PLACE BILLS SEED CALLS``: as many calls as are told, all at once, each with a random
end. Prints "ready" once the ledger is open, at the end how many were admitted and refused.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys

from ogam.errors import BudgetError, LedgerError
from ogam.gateway.ledger import Hold, Ledger, Row, Settlement

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
        await asyncio.sleep(chance.random() * 0.5)
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
        name, ends = f"{seed}.{number}", list[Settlement]()
        for tried in range(3):
            end, answered = await attempt(name, tried)
            if end is not None:
                ends.append(end)
            if answered:
                break
        row = Row(id=name, at=NOON, capability="generate", engine="openai", model="openai/m")
        ledger.settle(row, ends)

    try:
        await asyncio.gather(*(call(number) for number in range(calls)))
        await ledger.close()
    except LedgerError as error:
        sys.exit(str(error))
    print(count["admitted"], count["refused"], flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
