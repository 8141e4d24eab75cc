"""Leases in random worlds."""
