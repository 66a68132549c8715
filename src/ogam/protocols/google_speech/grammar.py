"""ABNF grammars, as Google takes them, as JSGF, as engines do. Pure; no I/O.

ABNF: https://www.w3.org/TR/speech-grammar/; JSGF: https://www.w3.org/TR/jsgf/. What ABNF has and
JSGF lacks (bounded repeats, other documents) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ogam.errors import InvalidRequestError, UnsupportedOptionError

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_TAG = re.compile(r"\{!\{.*?\}!\}|\{[^{}]*\}", re.DOTALL)
_RULE = re.compile(r"(?:(?:public|private)\s+)?\$([\w.-]+)\s*=\s*(.+)", re.DOTALL)
_ROOT = re.compile(r"root\s+\$([\w.-]+)")
_HEADER = re.compile(r"(#ABNF|language|mode|tag-format|base|meta|http-equiv|lexicon)\b")
_REPEATS = {"<0->": "*", "<1->": "+"}
_NAME = re.compile(r"\$([\w.-]+)")


def jsgf(grammars: Sequence[str]) -> str:
    """One JSGF document. The root, or else the first rule of each grammar, may be said."""
    rules: dict[str, str] = {}
    public: set[str] = set()
    for text in grammars:
        mine: list[str] = []
        root = ""
        for part in _TAG.sub(" ", _COMMENT.sub(" ", text)).split(";"):
            line = part.strip()
            if found := _RULE.fullmatch(line):
                name = found[1]
                if name in rules:
                    raise _wrong(f"the rule ${name} is there twice")
                rules[name] = _expansion(found[2].strip())
                mine.append(name)
            elif found := _ROOT.fullmatch(line):
                root = found[1]
            elif line and not _HEADER.match(line):
                raise _wrong(f"{line[:60]!r} is no rule")
        if not mine or (root and root not in mine):
            raise _wrong("it has no rule" if not mine else f"the root ${root} is not there")
        public.add(root or mine[0])
    lines = (
        f"{'public ' if name in public else ''}<{name}> = {rule};" for name, rule in rules.items()
    )
    return "#JSGF V1.0;\ngrammar asked;\n" + "\n".join(lines)


def _expansion(text: str) -> str:
    for abnf, star in _REPEATS.items():
        text = re.sub(rf"\s*{abnf}", star, text)
    if "$$" in text or "$<" in text or "<" in text:
        raise UnsupportedOptionError(
            f"The grammar has what is not supported here: {text[:60]!r}.",
            hint="Other documents, and repeats other than <0-> and <1->, are not.",
            param="config.adaptation.abnfGrammar",
        )
    return _NAME.sub(r"<\1>", text)


def _wrong(why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"Invalid ABNF grammar: {why}.",
        hint="It looks like: $go = turn (left | right);",
        param="config.adaptation.abnfGrammar",
    )
