"""The API measured: how much it answers, how fast, and what each part costs."""
