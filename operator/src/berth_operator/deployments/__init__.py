"""Deployments: from the objects that are observed to the engine that should run."""
