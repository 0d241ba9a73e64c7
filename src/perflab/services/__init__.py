"""Servers for the lab: PostgreSQL and Redis, started, found, shared and cleaned up."""

from perflab.services.errors import RungUnavailable, ServiceError
from perflab.services.ladder import Services, attach_services, open_services, postgres_build, probe
from perflab.services.probe import Probe
from perflab.services.servers import Postgres, PostgresSettings, Redis, Rung

__all__ = [
    "Postgres",
    "PostgresSettings",
    "Probe",
    "Redis",
    "Rung",
    "RungUnavailable",
    "ServiceError",
    "Services",
    "attach_services",
    "open_services",
    "postgres_build",
    "probe",
]
