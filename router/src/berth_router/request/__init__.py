"""What a request asks: its parsed body, what of it is Berth's, and what the engine gets."""
