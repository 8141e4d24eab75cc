"""A conversation with a model: what was said, how answers are shown, and what somebody types."""
