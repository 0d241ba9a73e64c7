"""Tables and plots of the real-time study."""
