"""The election of one of several operators."""
