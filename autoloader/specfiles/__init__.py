"""YAML and Jinja2 on disk to validated specs; every error with file:line:column, all at once.

Reads the folder of specs and nothing else. Judging values is `spec`'s work; this room knows places.
"""

from autoloader.specfiles.folder import LoadedSpec, ProjectSpecs, load
from autoloader.specfiles.jsonschema import json_schema
from autoloader.specfiles.problems import SpecErrors, format_diagnostic
from autoloader.specfiles.writing import write_columns

__all__ = ["LoadedSpec", "ProjectSpecs", "SpecErrors", "format_diagnostic", "json_schema", "load", "write_columns"]
