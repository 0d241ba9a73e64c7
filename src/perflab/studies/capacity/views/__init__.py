"""Tables and plots of the capacity study."""
