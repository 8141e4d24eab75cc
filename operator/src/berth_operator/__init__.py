"""The operator: observes ModelDeployments and their pods, decides, and acts."""
