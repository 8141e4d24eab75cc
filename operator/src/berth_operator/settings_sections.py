"""What every section of the settings is, and the sections of several operators and of the engines' keys."""

from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic.alias_generators import to_camel

from berth_api.engine_key import EngineKeyring
from berth_cluster.names import NAMESPACE_LENGTH, NAMESPACE_PATTERN
from berth_process.settings_error import SettingsError, shown

SECRET_FILE_VARIABLE = "BERTH_ENGINE_KEY_SECRET_FILE"  # noqa: S105 (the name of a variable)


class Section(BaseModel):
    """A section of the settings."""

    # A misspelt setting must not be ignored silently.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class ElectionSection(Section):
    """Which of several operators works."""

    lease: str | None = Field(
        default=None,
        max_length=NAMESPACE_LENGTH,
        pattern=NAMESPACE_PATTERN,
        description="Name of the Lease by which one of several operators leads. None: there is no other operator.",
    )
    lasts: float = Field(
        default=12, gt=0, description="Seconds after which another operator takes the place of one that has vanished."
    )
    renew_within: float = Field(
        default=8,
        gt=0,
        description="An operator that could not renew its Lease for so many seconds ends. Less than lasts.",
    )
    look_every: float = Field(
        default=2, gt=0, description="Seconds between two renewals, and two looks of one that waits. Less than that."
    )

    @model_validator(mode="after")
    def _ends_before_the_lease(self) -> Self:
        if not self.look_every < self.renew_within < self.lasts:
            raise ValueError(
                f"lookEvery is {self.look_every:g}, renewWithin {self.renew_within:g} and lasts {self.lasts:g}: each"
                " must be less than the next"
            )
        return self


class EngineKeySettings(Section):
    """The keys without which engines answer nobody."""

    secret: SecretStr | None = Field(
        default=None,
        description="What keys are made from, the same as the routers', in the file that BERTH_ENGINE_KEY_SECRET_FILE"
        " names. None: engines ask for no key.",
    )

    @property
    def keyring(self) -> EngineKeyring | None:
        """The keys; None where engines have none."""
        return _keyring(self.secret.get_secret_value()) if self.secret else None


@lru_cache(maxsize=1)
def _keyring(secret: str) -> EngineKeyring:
    return EngineKeyring(secret)


def engine_key_secret(path: Path) -> str:
    """The content of the file. Raises SettingsError."""
    try:
        secret = path.read_text().strip()
        EngineKeyring(secret)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"{SECRET_FILE_VARIABLE} is {shown(str(path))}, which cannot be used: {why}") from error
    return secret
