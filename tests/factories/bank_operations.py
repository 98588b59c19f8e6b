"""Who may do what with bank connections."""

from tests.outside.access import Rule

_BODY = {
    "provider": "teller",
    "institution": "B",
    "label": "l",
    "accessToken": "of_an_untold_login",
}

_DECIDED = {"providerId": "acc_enr_0_0", "bankAccountId": None}

RULES = {
    "GET /v1/users/{userId}/connections": Rule("connections:read"),
    "POST /v1/users/{userId}/connections": Rule("connections:write", _BODY),
    "GET /v1/connections/{connectionId}": Rule("connections:read"),
    "PATCH /v1/connections/{connectionId}": Rule("connections:write", {}),
    "GET /v1/connections/{connectionId}/deletion-plan": Rule("connections:read"),
    "POST /v1/connections/{connectionId}/sync": Rule("connections:write"),
    "GET /v1/connections/{connectionId}/accounts": Rule("connections:read"),
    "POST /v1/connections/{connectionId}/decisions": Rule("connections:write", _DECIDED),
    "GET /v1/bank-accounts/{bankAccountId}/transactions": Rule("connections:read"),
    "DELETE /v1/connections/{connectionId}": Rule("connections:write"),
}


SIGNED = {"POST /v1/webhooks/teller"}
"""Routes whose callers are known by a signature: test_webhooks."""
