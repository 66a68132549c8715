"""Google Cloud Speech-to-Text's protocol, served."""
