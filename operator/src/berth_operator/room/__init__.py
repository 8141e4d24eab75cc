"""Room for models: what is known of nodes and of what stands on them, and who is admitted, waits, or makes room."""
