"""What stands in the catalogue: registered models and their versions, as MLflow's clients know them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Stage = Literal["None", "Staging", "Production", "Archived"]


class CatalogVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a registered model.

    Attributes:
        model: The registered model's name.
        number: Counted from 1; a deleted one's is never given again.
        created_at: When it was made.
        updated_at: When it was changed last.
        description: Words about it.
        stage: Where it stands.
        source: Where its files are, as whoever registered it said: a URI, never a path of the server.
        storage: Where its files are in the end, when ``source`` names another model.
        run: The run that made it, if one did.
        run_link: Where that run can be seen.
        logged_model: The logged model that it is, if it is one.
        tags: Anything else worth knowing.
        aliases: The aliases that name it.
    """

    model: str
    number: int
    created_at: datetime
    updated_at: datetime
    description: str = ""
    stage: Stage = "None"
    source: str
    storage: str
    run: str = ""
    run_link: str = ""
    logged_model: str = ""
    tags: dict[str, str] = {}
    aliases: tuple[str, ...] = ()


class CatalogModel(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model.

    Attributes:
        name: Its name; no two have the same.
        created_at: When it was made.
        updated_at: When it was changed last.
        description: Words about it.
        tags: Anything else worth knowing.
        aliases: The version that each alias names.
        latest: The newest version in each stage that has one.
    """

    name: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    tags: dict[str, str] = {}
    aliases: dict[str, int] = {}
    latest: tuple[CatalogVersion, ...] = ()


class NewCatalogVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version to be registered.

    Attributes:
        model: The registered model's name.
        source: Where its files are: a URI.
        run: The run that made it, if one did; None if that isn't said.
        logged_model: The logged model that it is, if it is one; None if that isn't said.
        run_link: Where that run can be seen.
        description: Words about it.
        tags: Anything else worth knowing; ``treadle.licence``, ``treadle.hardware`` and
            ``treadle.owner`` become parts of its passport.
    """

    model: str
    source: str
    run: str | None = None
    logged_model: str | None = None
    run_link: str = ""
    description: str = ""
    tags: dict[str, str] = {}


class CatalogModelPage(msgspec.Struct, frozen=True):
    """Some of the models that were searched for; the token asks for more, if there are."""

    models: list[CatalogModel]
    token: str | None = None


class CatalogVersionPage(msgspec.Struct, frozen=True):
    """Some of the versions that were searched for; the token asks for more, if there are."""

    versions: list[CatalogVersion]
    token: str | None = None


class ImportCatalogModel(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model of another server to be taken in.

    Attributes:
        model: The registered model.
        versions: All of its versions.
    """

    model: CatalogModel
    versions: tuple[CatalogVersion, ...] = ()
