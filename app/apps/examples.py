"""Examples of client apps."""

from typing import Final

from fastapi import Body

from app.web.openapi.examples import DATES

APP: Final = Body(
    openapi_examples={"strict": {"value": {"name": "Notes", "requireVersion": True, "history": 10}}}
)
SCHEMA_CHECK: Final = Body(
    openapi_examples={
        "titles": {"value": {"schemas": {"task:*": {"type": "object", "required": ["title"]}}}}
    }
)
APP_SHOWN: Final = {
    "id": "notes",
    "name": "Notes",
    "requireVersion": True,
    "analyticsProperties": ["plan"],
    "tombstoneDays": 30,
    "identifyTraits": ["plan"],
    "history": 0,
    "schemas": {"task:*": {"type": "object", "required": ["title"]}},
    "quota": {"bytes": 10_000_000, "keys": 5000},
    "queries": {"byDue": {"prefix": "task:", "by": [{"pointer": "/due", "order": "asc"}]}},
    **DATES,
}
