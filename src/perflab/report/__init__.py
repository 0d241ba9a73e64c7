"""Results rendered: tables, plots and the terminal; nothing here computes a figure."""
