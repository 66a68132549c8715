"""What happens between a request and an engine. Knows engines only through the registry."""
