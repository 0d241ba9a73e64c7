"""The lab's HTTP API, put together from the parts of the package."""
