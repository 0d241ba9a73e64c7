"""What the limiter study found, as tables and plots."""
