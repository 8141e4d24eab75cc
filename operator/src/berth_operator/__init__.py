"""The operator: it observes ModelDeployments, ModelDownloads and their pods, decides, and acts."""
