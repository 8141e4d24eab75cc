"""What a model's files say of themselves. No dependencies: it is part of the launcher in the engine images too."""
