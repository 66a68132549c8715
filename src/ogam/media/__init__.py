"""Audio and Image: bytes and what they are. Knows no engine."""

from ogam.media.audio import Audio, Pcm
from ogam.media.image import Image

__all__ = ["Audio", "Image", "Pcm"]
