"""What is sent to a route that takes a body: the first example that OpenAPI shows of it, which
tests/test_examples.py tries, or what stands here where an example cannot serve."""

from typing import Any

from tests.described import OPERATIONS, examples_of

CANNOT_SERVE: dict[str, Any] = {
    # An example names what is claimed once, and is sent for several people.
    "POST /v1/users": {},
    "POST /v1/users/import": {},
    "PUT /v1/users/by/{field}/{value}": {},
    # An example is about an account that is not there.
    "POST /v1/admin/card-events/redeliver": {},
    # The example is a token of a provider, and most tests have none.
    "POST /v1/users/me/identities": {
        "provider": "phone",
        "challengeId": "x",
        "code": "123456",
    },
}
"""Bodies that a route accepts, or refuses for what they say rather than for their form."""


def example_of(operation: dict[str, Any]) -> Any:
    """The first example of its body, None where it takes none."""
    content = operation.get("requestBody", {}).get("content", {})
    return next((shown for part in content.values() for shown in examples_of(part)), None)


EXAMPLES: dict[str, Any] = {
    name: shown
    for name, operation in OPERATIONS.items()
    if (shown := example_of(operation)) is not None
}

BODIES = EXAMPLES | CANNOT_SERVE
