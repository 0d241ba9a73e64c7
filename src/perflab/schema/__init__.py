"""The application's schema, its data, its queries and the catalogue of its indexes."""
