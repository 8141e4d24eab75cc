"""Berth on one machine, without a cluster."""
