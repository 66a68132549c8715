"""Google Cloud Vision's protocol, served."""
