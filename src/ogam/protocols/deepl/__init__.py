"""DeepL's protocol, served."""
