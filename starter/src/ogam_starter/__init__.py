"""The small models that ship with Ogam. Holds files and the path to them, no other code."""

from pathlib import Path

__all__ = ["MODELS"]

MODELS: Path = Path(__file__).parent / "models"
"""The folder with one folder a model, each with its ``model.json`` and ``CARD.md``."""
