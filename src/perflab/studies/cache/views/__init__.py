"""Tables and plots of the cache study: results in, something to look at out."""
