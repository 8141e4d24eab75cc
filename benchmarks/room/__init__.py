"""Room for models: waits and switches of several policies on made-up traces, and the time that a decision takes."""
