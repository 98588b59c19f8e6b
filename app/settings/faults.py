"""What is wrong with settings, told without their values: one line a fault, with the form it should
have."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

from app.settings.git_hosts import host_setting_like, is_host_setting

PREFIX: Final = "SATCHEL_"
# of Compose, Caddy and the tests
_NOT_OURS: Final = ("SATCHEL_IMAGE", "SATCHEL_MEMORY", "SATCHEL_SITE", "SATCHEL_TEST_ROUNDS")
_EXAMPLES: Final = {
    "mongodb_uri": "mongodb://user:password@db.example.com/?replicaSet=rs0",
    "sender_url": "https://sender.example.com/codes",
    "keyring": '{"current":"1","keys":{"1":"<base64 of 32 bytes>"}}',
    "cors_origins": '["https://app.example.com"]',
    "write_key_origins": '["https://shop.example.com"]',
    "trusted_proxies": '["10.0.0.0/8"]',
    "repository_hosts": '["GitLab=git.example.com"]',
    "selectable_roles": '["creator"]',
    "oidc_providers": (
        '{"apple":{"issuers":["https://appleid.apple.com"],'
        '"jwksUrl":"https://appleid.apple.com/auth/keys","clientIds":["com.example.app"]}}'
    ),
    "analytics_archive": "s3://bucket/prefix",
    "analytics_archive_endpoint": "https://s3.example.com",
}


class SettingsError(Exception):
    """Settings that cannot be used.

    Attributes:
        faults: a line each, none with a value that was set.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


def variable(name: str) -> str:
    """The variable of a setting."""
    return PREFIX + name.upper()


def faults_of(
    error: ValidationError, fields: Mapping[str, FieldInfo]
) -> tuple[list[str], set[str]]:
    """The lines of an error, and the settings that are malformed by themselves."""
    lines: list[str] = []
    malformed: set[str] = set()
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        told = item["msg"].removeprefix("Value error, ")
        name = next((str(part) for part in item["loc"]), None)
        if name is None:
            lines += told.splitlines()
        elif name not in malformed:
            malformed.add(name)
            lines.append(
                f"{variable(name)}: {told}; such as {variable(name)}={example(name, fields[name])}"
            )
    return lines, malformed


def example(name: str, field: FieldInfo) -> str:
    """A value of the form that a setting has."""
    if name in _EXAMPLES:
        return _EXAMPLES[name]
    if is_composite(field):
        return (
            '["<32 random characters>"]' if SecretStr in get_args(field.annotation) else '["..."]'
        )
    kinds = [field.annotation, *get_args(field.annotation)]
    default = field.default
    if isinstance(default, (bool, int, float, str)):
        return str(default).lower() if isinstance(default, bool) else str(default)
    forms = {
        SecretStr: "<32 random characters>",
        Path: f"/run/secrets/{name}",
        bool: "true",
        int: "9000",
    }
    return next((form for kind, form in forms.items() if kind in kinds), "<text>")


def is_composite(field: FieldInfo) -> bool:
    """Whether a setting is spelled as a JSON list or object."""
    return get_origin(field.annotation) in (list, dict)


def unknown_variables(model: type[BaseSettings]) -> list[str]:
    """A line for each variable that looks like a setting and is none, with the nearest name."""
    known = [variable(name) for name in model.model_fields]
    names = {
        name.upper()
        for name in (*EnvSettingsSource(model).env_vars, *DotEnvSettingsSource(model).env_vars)
    }
    odd = sorted(
        name
        for name in names
        if name.startswith(PREFIX)
        and name not in (*known, *_NOT_OURS)
        and not is_host_setting(name.removeprefix(PREFIX).lower())
    )
    return [no_setting(name, [*known, *_host_variable_like(name)]) for name in odd]


def _host_variable_like(name: str) -> list[str]:
    found = host_setting_like(name.removeprefix(PREFIX).lower())
    return [] if found is None else [variable(found)]


def no_setting(name: str, known: Iterable[str]) -> str:
    """What is told of a variable that looks like a setting and is none: with the nearest of those
    known, if one is near."""
    flat = {told.replace("_", ""): told for told in known}
    near = difflib.get_close_matches(name.replace("_", ""), flat, 1)
    return f"{name} is no setting" + (f"; did you mean {flat[near[0]]}?" if near else "")
