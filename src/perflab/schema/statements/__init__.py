"""The statements of the workload, one module for each category."""
