"""ElevenLabs's protocol, served."""
