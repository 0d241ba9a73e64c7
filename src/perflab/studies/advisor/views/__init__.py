"""What the advisor study shows."""
