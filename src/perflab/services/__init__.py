"""Servers for the lab: PostgreSQL, Redis and nginx, started, found, shared and cleaned up."""

from perflab.services.addresses import PostgresSettings, Rung
from perflab.services.embedded.kept import CACHE_LIMIT_BYTES, databases_dir, folder_bytes
from perflab.services.errors import RungUnavailable, ServiceError
from perflab.services.features import lacks
from perflab.services.ladder import Services, attach_services, open_services, probe
from perflab.services.probe import Probe
from perflab.services.servers import Nginx, Postgres, Redis

__all__ = [
    "CACHE_LIMIT_BYTES",
    "Nginx",
    "Postgres",
    "PostgresSettings",
    "Probe",
    "Redis",
    "Rung",
    "RungUnavailable",
    "ServiceError",
    "Services",
    "attach_services",
    "databases_dir",
    "folder_bytes",
    "lacks",
    "open_services",
    "probe",
]
