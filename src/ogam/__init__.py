"""Ogam gives a program five senses: it writes, speaks, sees, hears and translates.

    >>> import ogam
    >>> ogam.similarity("a cat sleeps", "a kitten naps") > 0.5
    True

Importing loads no engine, no model and no web framework.
"""

from __future__ import annotations

from ogam.client import AsyncOgam, Ogam, module_function
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

classify = module_function(Ogam.classify)
embed = module_function(Ogam.embed)
generate = module_function(Ogam.generate)
generate_stream = module_function(Ogam.generate_stream)
see = module_function(Ogam.see)
similarity = module_function(Ogam.similarity)
speak = module_function(Ogam.speak)
speak_stream = module_function(Ogam.speak_stream)
transcribe = module_function(Ogam.transcribe)
transcribe_stream = module_function(Ogam.transcribe_stream)
translate = module_function(Ogam.translate)
voices = module_function(Ogam.voices)
