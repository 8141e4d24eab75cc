"""Whole `berth up` processes."""
