"""Ogam gives a program five senses: it writes, speaks, sees, hears and translates.

    >>> import ogam
    >>> ogam.similarity("a cat sleeps", "a kitten naps") > 0.5
    True

Importing loads no engine, no model and no web framework.
"""

from __future__ import annotations

import atexit

from ogam.client import AsyncOgam, Ogam
from ogam.errors import OgamError
from ogam.media import Audio, Image

__all__ = [
    "AsyncOgam",
    "Audio",
    "Image",
    "Ogam",
    "OgamError",
    "classify",
    "embed",
    "generate",
    "generate_stream",
    "see",
    "similarity",
    "speak",
    "speak_stream",
    "transcribe",
    "transcribe_stream",
    "translate",
    "voices",
]

__version__ = "0.1.0"

# The client behind the functions. It costs nothing until the first of them is called.
_default = Ogam()
atexit.register(_default.close)

classify = _default.classify
embed = _default.embed
generate = _default.generate
generate_stream = _default.generate_stream
see = _default.see
similarity = _default.similarity
speak = _default.speak
speak_stream = _default.speak_stream
transcribe = _default.transcribe
transcribe_stream = _default.transcribe_stream
translate = _default.translate
voices = _default.voices
