"""Tables and plots of the database study: results in, something to look at out."""
