"""Where a version comes from: its source checked against the run or the model that it names.

Nothing here touches a file: a source is compared with where runs and logged models keep theirs,
and otherwise handed back as it came.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from treadle.experiment import find_logged_model, limits
from treadle.experiment import store as runs
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.registry import catalog_store as store
from treadle.registry.catalog_rules import Source, check_alias, check_model_name, check_stage, read_source
from treadle.registry.catalog_types import CatalogVersion, NewCatalogVersion


class Origin(msgspec.Struct, frozen=True):
    """Where a version comes from.

    Attributes:
        source: Where its files are, as it is kept.
        storage: Where they are in the end.
        run: The run that made it, if one did.
        logged: The logged model that it is, if it is one.
    """

    source: str
    storage: str
    run: str = ""
    logged: str = ""


def resolve(connection: sa.Connection, new: NewCatalogVersion) -> Origin:
    """Where a new version comes from.

    Raises:
        NotFound: If there is none of what the source names.
        InvalidInput: If the source is a path, or lies outside of what it is said to be of.
    """
    found = read_source(new.source)
    for text, where in ((new.run, "run_id"), (new.logged_model, "model_id")):
        if text:
            _check_identity(text, where)
    if found.kind in {"version", "alias"}:
        return _copy(new, _named(connection, found))
    if new.logged_model or found.kind == "logged":
        return _of_logged_model(connection, new, found)
    run = new.run or ""
    if found.kind == "run" and found.first != run:
        raise _foreign(new.source, "run_id")
    if found.kind == "artifacts" and not _within(found, _run_folder(connection, run)):
        raise _foreign(new.source, "run_id")
    return Origin(new.source, new.source, run)


def storage_of_run(connection: sa.Connection, run: str, folder: str) -> str:
    """Where clients find a folder of a run's files."""
    root = _run_folder(connection, run)
    return f"{root}/{folder}" if root else f"runs:/{run}/{folder}"


def number_of(connection: sa.Connection, name: str, alias: str) -> int:
    """The number of the version that an alias names; ``latest`` is the highest.

    ``production`` is the one in that stage, unless somebody gave it to another, as MLflow's clients may.

    Raises:
        NotFound: If the model has no version yet.
        InvalidInput: If it has no such alias.
    """
    if alias.lower() == "latest":
        highest = max((one.number for one in store.latest_versions(connection, [name])), default=None)
        if highest is None:
            raise NotFound(f"registered model {name!r:.80} has no version yet")
        return highest
    number = store.aliased(connection, name, alias)
    if number is None and alias == "production":
        here = [one.number for one in store.latest_versions(connection, [name]) if one.stage == "Production"]
        number = max(here, default=None)
    if number is None:
        raise InvalidInput(f"Registered model alias {alias:.80} not found.")
    return number


def _named(connection: sa.Connection, source: Source) -> CatalogVersion:
    """The version that ``models:/NAME/…`` or ``models:/NAME@…`` names."""
    name, wanted = check_model_name(source.first, "source"), source.version
    if source.kind == "alias":
        number = number_of(connection, name, check_alias(wanted, new=False))
    elif wanted.isascii() and wanted.isdigit() and len(wanted) < 10:
        number = int(wanted)
    elif wanted.lower() == "latest":
        number = number_of(connection, name, wanted)
    else:
        stage = check_stage(wanted)
        latest = store.latest_versions(connection, [name])
        number = next((one.number for one in latest if one.stage == stage), 0)
    found = store.find_version(connection, name, number)
    if found is None:
        raise NotFound(f"registered model {name!r:.80} has no version {wanted!r:.80}", where="source")
    return found


def _copy(new: NewCatalogVersion, known: CatalogVersion) -> Origin:
    other_run = new.run is not None and new.run != known.run
    if other_run or (new.logged_model is not None and new.logged_model != known.logged_model):
        raise InvalidInput(
            f"{new.source!r:.200} is not of that run or logged model",
            where="source",
            fix="leave run_id and model_id out: they are the referenced version's",
        )
    source = f"models:/{known.model}/{known.number}"
    return Origin(source, known.storage, known.run, known.logged_model)


def _of_logged_model(connection: sa.Connection, new: NewCatalogVersion, found: Source) -> Origin:
    if found.kind == "run" or (found.kind == "logged" and found.first != new.logged_model):
        raise _foreign(new.source, "model_id")
    model = find_logged_model(connection, new.logged_model or "")
    if found.kind == "artifacts" and not _within(found, model.artifacts):
        raise _foreign(new.source, "model_id")
    storage = model.artifacts if found.kind == "logged" else new.source
    return Origin(new.source, storage, new.run or model.run, model.id)


def _run_folder(connection: sa.Connection, run: str) -> str | None:
    """Where a run's files are."""
    found = runs.exact_run(connection, run) if run else None
    if found is None:
        return None
    home = runs.find_experiment(connection, runs.experiment_of(connection, run))
    return f"{home.artifacts}/{run}/artifacts" if home else None


def _within(found: Source, root: str | None) -> bool:
    """Whether files kept here lie in a folder kept here."""
    folder = read_source(root) if root else Source("elsewhere")
    return folder.kind == "artifacts" and f"{found.first}/".startswith(f"{folder.first}/")


def _check_identity(text: str, where: str) -> None:
    try:
        limits.check_run_id(text)
    except InvalidInput as error:
        raise InvalidInput(error.message, where=where) from None


def _foreign(source: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"Invalid model version source: {source!r:.200} is not among the files that `{what}` names",
        where="source",
        fix=f"give the `{what}` that the source belongs to",
    )
