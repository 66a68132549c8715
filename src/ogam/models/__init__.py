"""What lies on this disk: collections of models, their manifests and cards."""
