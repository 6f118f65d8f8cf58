"""Training a prior: configuration, the Lightning module, the run."""
