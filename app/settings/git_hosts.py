"""The settings that say where Git hosts' APIs are, `<host>_api_url`. Which hosts there are, and
where each is without such a setting, their files in `app/repositories/hosts` say."""

import re
from typing import Any, Final

from pydantic import model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
)

_API: Final = re.compile(r"[a-z0-9]+_api_url")
_LIKE_API: Final = re.compile(r"([a-z0-9_]+?)_?api_?ur[li]?s?")


def is_host_setting(name: str) -> bool:
    """Whether a setting of this name says where a Git host's API is: `github_api_url`."""
    return _API.fullmatch(name) is not None


def host_setting_like(name: str) -> str | None:
    """The setting of a Git host that a mistyped name may have been meant for; which hosts there
    are, is not known here: `git_hub_apiurl` gives `github_api_url`."""
    found = _LIKE_API.fullmatch(name)
    return None if found is None else f"{found[1].replace('_', '')}_api_url"


class _HostVariables(EnvSettingsSource):
    """The variables of this form; pydantic reads those of fields alone."""

    def __call__(self) -> dict[str, Any]:
        prefix = self.env_prefix.lower()
        named = {
            name[len(prefix) :]: value
            for name, value in self.env_vars.items()
            if name.startswith(prefix)
        }
        return {name: value for name, value in named.items() if is_host_setting(name)}


class GitHostSettings(BaseSettings):
    """Part of `app.settings.Settings`, which keeps them as what pydantic calls extra."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The variables of hosts beside those of fields."""
        ours = _HostVariables(settings_cls)
        return init_settings, env_settings, ours, dotenv_settings, file_secret_settings

    @model_validator(mode="before")
    @classmethod
    def _no_others(cls, given: Any) -> Any:
        """What is neither a field nor a host's is left out."""
        return {
            name: value
            for name, value in given.items()
            if name in cls.model_fields or is_host_setting(name)
        }

    @property
    def host_settings(self) -> dict[str, str]:
        """Those that are set."""
        return {name: str(value) for name, value in (self.model_extra or {}).items()}
