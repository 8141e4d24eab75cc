"""The router: an OpenAI API in front of models that start when they are asked for."""
