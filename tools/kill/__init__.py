"""Kill commands at random moments, and look at what is left: `make kill`."""
