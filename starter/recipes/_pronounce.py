"""How eSpeak NG says words: a voice and words on stdin, a line each; IPA on stdout likewise.

Run by path, in a process of its own, as the engine ``espeak`` runs it: the library is
GPL-3.0-or-later and stays apart.
"""

from __future__ import annotations

import ctypes
import os
import sys

import espeakng_loader

# Of speak_lib.h: https://github.com/espeak-ng/espeak-ng/blob/1.52.0/src/include/espeak-ng/
_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_IPA = 2 | ord("_") << 8  # "_" between phones


def main() -> None:
    """Answer every word with a line, which is empty where there is nothing to say."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = os.fsencode(espeakng_loader.get_data_path())
    library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DONT_EXIT)
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
    voice, *words = sys.stdin.buffer.read().splitlines()
    if library.espeak_SetVoiceByName(voice) != 0:
        raise SystemExit(f"eSpeak NG has no voice {voice.decode()}.")
    for word in words:
        text = ctypes.c_char_p(word)
        said = library.espeak_TextToPhonemes(ctypes.byref(text), _UTF8, _IPA) or b""
        sys.stdout.buffer.write(said.strip() + b"\n")


if __name__ == "__main__":
    main()
