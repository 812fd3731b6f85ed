"""Training late-interaction models."""
