"""The model store: which models there are, what they say of themselves, how they come and go."""
