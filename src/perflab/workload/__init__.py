"""A database workload of the user's own: the file that describes it, its parameters, its data."""

from perflab.workload.claimed import check_claims
from perflab.workload.file import Query, Rows, Workload, load_workload
from perflab.workload.load import load_data, run_statements
from perflab.workload.script import ScriptError, Statement

__all__ = [
    "Query",
    "Rows",
    "ScriptError",
    "Statement",
    "Workload",
    "check_claims",
    "load_data",
    "load_workload",
    "run_statements",
]
