"""Tables and plots of the API study: results in, something to look at out."""
