"""Local engines, one a module. None imports another."""
