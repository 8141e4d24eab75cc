"""Measurements of Berth, each beside the same work done without it."""
