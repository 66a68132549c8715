"""A translation that begins and ends as its source does."""

from __future__ import annotations

import re

_END = re.compile(r"[.!?。！？…:;,]+\Z")
_WIDE = str.maketrans(".!?", "。！？")


def alike(source: str, target: str) -> str:
    """``target`` with a capital where the source begins with one, and its marks at its end."""
    head, made = source.strip(), target.strip()
    if not head or not made:
        return target
    before = target[: len(target) - len(target.lstrip())]
    after = target[len(target.rstrip()) :]
    if head[0].isupper() and made[0].islower():
        made = made[0].upper() + made[1:]
    # Never the other way: a German noun is written with a capital wherever it stands.
    ends, has = _END.search(head), _END.search(made)
    wanted, own = ends.group() if ends else "", has.group() if has else ""
    if wanted.translate(_WIDE) != own.translate(_WIDE):
        made = made[: len(made) - len(own)] + wanted
    return before + made + after
