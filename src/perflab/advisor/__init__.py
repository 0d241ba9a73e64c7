"""Which statements are slow, which indexes would help, and whether they do: measured advice."""
