"""Taking registered models in from another server: versions keep their numbers, stages and times."""

from __future__ import annotations

import msgspec

from treadle.kernel.errors import AlreadyExists, InvalidInput
from treadle.kernel.workspace import Workspace
from treadle.registry import catalog_rules as rules
from treadle.registry import catalog_store as store
from treadle.registry.catalog_types import CatalogModel, CatalogVersion, ImportCatalogModel
from treadle.registry.changing import enter
from treadle.registry.types import Passport

_SAME = ("source", "run", "logged_model", "created_at")


def import_model(workspace: Workspace, new: ImportCatalogModel) -> CatalogModel:
    """Takes a registered model in with its versions and aliases: everything or nothing.

    One that is here keeps what it has; versions, tags and aliases that it lacks are added.

    Raises:
        InvalidInput: If a name, tag or alias can't be used, or a version's source is a path.
        AlreadyExists: If another version has a version's number, or an alias names another version.
    """
    model = new.model
    _check(new)
    with workspace.database.write() as connection:
        store.hold_model(connection, model.name, model.created_at, model.description)
        known = store.find_model(connection, model.name)
        assert known is not None  # noqa: S101 - just made
        for version in sorted(new.versions, key=lambda one: one.number):
            there = store.find_version(connection, model.name, version.number)
            if there is None:
                enter(
                    connection,
                    version,
                    Passport(),
                    reason=f"taken in from another server, where it was in {version.stage}",
                    key=workspace.ids.new("import"),
                )
            elif any(getattr(there, name) != getattr(version, name) for name in _SAME):
                raise AlreadyExists(
                    "the version is here already, and not the same",
                    where=f"{model.name}/{version.number}",
                    fix="rename or delete the registered model here to take in the other",
                )
        for alias, number in model.aliases.items():
            if known.aliases.get(alias, number) != number:
                raise AlreadyExists(
                    f"alias {alias!r} names version {known.aliases[alias]} here and {number} there",
                    where=model.name,
                    fix="take the alias away on one side",
                )
            store.put_alias(connection, model.name, alias, number)
        fresh = {key: value for key, value in model.tags.items() if key not in known.tags}
        store.put_model_tags(connection, model.name, fresh)
        highest = max((version.number for version in new.versions), default=0)
        store.raise_numbers(connection, model.name, highest, max(known.updated_at, model.updated_at))
        found = store.find_model(connection, model.name)
        assert found is not None  # noqa: S101 - as above
        return found


def _check(new: ImportCatalogModel) -> None:
    name = rules.check_model_name(new.model.name)
    rules.refuse_prompt(new.model.tags)
    rules.check_tags(new.model.tags)
    rules.check_text(new.model.description, "description")
    numbers = {version.number for version in new.versions}
    for alias, number in new.model.aliases.items():
        rules.check_alias(alias, new=True)
        if number not in numbers:
            raise InvalidInput(f"alias {alias!r} names version {number}, which isn't there", where=name)
    for version in new.versions:
        _check_version(name, version)


def _check_version(name: str, version: CatalogVersion) -> None:
    if version.model != name or not 0 < version.number < 2**31:
        raise InvalidInput(f"{version.model}/{version.number} can't be a version of {name!r}")
    for uri in (version.source, version.storage):
        try:
            rules.read_source(uri)
        except InvalidInput as error:
            raise InvalidInput(error.message, where=f"{name}/{version.number}", fix=error.fix) from None
    rules.refuse_prompt(version.tags)
    rules.check_tags(version.tags)
    rules.check_text(version.description, "description")
    rules.check_text(version.run_link, "run_link")
    if b"\\u0000" in msgspec.json.encode(version):
        raise InvalidInput("a text has a NUL, which can't be kept", where=f"{name}/{version.number}")
