"""What runs in an engine's container: checks the model, builds the engine's command line and becomes the engine."""
