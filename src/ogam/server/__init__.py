"""One server for all protocols. ``app`` answers HTTP, ``run`` starts and stops everything."""
