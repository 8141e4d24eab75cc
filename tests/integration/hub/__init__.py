"""Whole download programs, and what ends them."""
