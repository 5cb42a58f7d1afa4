"""What builds the documents; not part of the package."""
