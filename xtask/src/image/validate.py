"""Judges a bill of materials by the published schema (CycloneDX) or SPDX's own validator: reads KIND and a file, prints what is wrong."""

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

kind, path = sys.argv[1:]
if kind == "cyclonedx":
    with open(path, encoding="utf-8") as file:
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read())
    wrong = [error] if error else []
else:
    wrong = validate_full_spdx_document(parse_file(path))
for one in wrong:
    print(one)
sys.exit(1 if wrong else 0)
