"""What a request asks for: the parsed body, what is Berth's of it, and what the engine gets to see."""
