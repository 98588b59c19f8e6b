"""Who may do what with projects and their repositories."""

from tests.app.repositories.conftest import TOKEN, URLS
from tests.outside.access import Rule

_P = "/v1/projects/{projectId}"

_BODY = {"repositoryUrl": URLS["GitHub"], "serviceType": "GitHub", "accessToken": TOKEN}

RULES = {
    "POST /v1/projects": Rule("projects:write", {"name": "x"}, 201),
    "GET /v1/projects": Rule("projects:read", None, 200),
    f"GET {_P}": Rule("projects:read"),
    f"PATCH {_P}": Rule("projects:write", {}),
    f"GET {_P}/deletion-plan": Rule("projects:read"),
    f"GET {_P}/members/{{userId}}": Rule("projects:read"),
    f"PUT {_P}/members/{{userId}}": Rule("projects:write", {"role": "admin"}),
    f"DELETE {_P}/members/{{userId}}": Rule("projects:write"),
    f"GET {_P}/invitations": Rule("projects:read"),
    f"GET {_P}/repository": Rule("projects:read"),
    f"PUT {_P}/repository": Rule("projects:write", _BODY),
    f"PATCH {_P}/repository": Rule("projects:write", {}),
    f"GET {_P}/repository/health": Rule("projects:read"),
    f"POST {_P}/repository/rotate-secret": Rule("projects:write"),
    f"GET {_P}/repository/events": Rule("projects:read"),
    f"POST {_P}/repository/events/{{eventId}}/redeliver": Rule("projects:write"),
    f"DELETE {_P}/repository": Rule("projects:write"),
    f"DELETE {_P}": Rule("projects:write"),
}

SIGNED = {"POST /v1/webhooks/{service}/{connectionId}"}
"""Routes whose callers are known by a signature: test_inbox."""
