"""Translating text that has more than text in it, by a translator that knows only text.

``segments`` is the heart: pieces of text between marks go to the translator as one sentence and
come back cut at the same marks. ``tags`` (XML, HTML) and ``plain`` turn a text into segments;
``glossary`` finds terms; ``likeness`` keeps case and marks at a text's ends. Nothing here knows
an engine or waits for one: what is to be translated is *yielded* (see :data:`Work`).
"""
