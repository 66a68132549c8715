"""Makes the pictures of the READMEs from what `make demo` left in out/."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "out"


def main() -> None:
    """Write seen.jpg (two pictures side by side) and similarity.png beside this file."""
    receipt, portrait = (
        Image.open(OUT / name).convert("RGB") for name in ("receipt.png", "seen.png")
    )
    portrait = portrait.resize((receipt.height, receipt.height), Image.Resampling.LANCZOS)
    both = Image.new("RGB", (receipt.width + portrait.width + 12, receipt.height), "white")
    both.paste(receipt, (0, 0))
    both.paste(portrait, (receipt.width + 12, 0))
    both.save(HERE / "seen.jpg", quality=82)
    shutil.copy(OUT / "similarity.png", HERE / "similarity.png")


if __name__ == "__main__":
    main()
