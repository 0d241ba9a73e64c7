"""Reaching the database: sessions, plans, the pool, index builds and pages."""
