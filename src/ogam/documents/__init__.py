"""Documents whose text can be translated while all else stays as it is.

``read`` gives a :class:`Document`: its segments (see :mod:`ogam.markup.segments`) and a function
that writes the same document with other text in it. One module a family of formats; none of them
knows a translator, and none runs a program.
"""

from ogam.documents.formats import Document, content_type, endings, read

__all__ = ["Document", "content_type", "endings", "read"]
