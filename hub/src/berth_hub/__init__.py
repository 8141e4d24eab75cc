"""Models from a hub: selection, trust, and the program of a download Job."""
