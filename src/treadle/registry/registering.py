"""Registering by hand what a run logged."""

from __future__ import annotations

from treadle.experiment import Files, whole_milliseconds
from treadle.kernel.errors import NotFound
from treadle.kernel.workspace import Workspace
from treadle.registry import catalog_store as store
from treadle.registry.catalog import Catalog
from treadle.registry.catalog_rules import check_model_name
from treadle.registry.catalog_types import CatalogVersion, NewCatalogVersion
from treadle.registry.types import Registration


def register_model(workspace: Workspace, asked: Registration) -> CatalogVersion:
    """Registers the model that a run logged; from then on it moves by its guards.

    Raises:
        NotFound: If there is no such run, or it has no such folder.
        InvalidInput: If a name or a tag can't be used, or it lacks what the policy asks for.
    """
    config, files = workspace.config, Files(workspace)
    name = check_model_name(asked.model or config.model, "model")
    source = f"runs:/{asked.run}/{asked.path}"
    if not files.below(files.of_uri(source, "")):
        raise NotFound(
            f"run {asked.run!r:.80} has no files in {asked.path!r:.200}",
            fix="name the folder of the model with --path; `treadle runs show RUN` lists the files",
        )
    with workspace.database.write() as connection:
        store.insert_model(connection, name, whole_milliseconds(), "")
    stated = {"licence": asked.licence, "hardware": asked.hardware, "owner": asked.owner}
    tags = {f"treadle.{key}": value for key, value in stated.items() if value}
    new = NewCatalogVersion(
        model=name,
        source=source,
        run=asked.run,
        description=asked.description or (config.about.description if name == config.model else ""),
        tags=asked.tags | tags,
    )
    reason = f"registered of run {asked.run}"
    return Catalog(workspace).create_version(new, origin="person", actor=asked.actor, reason=reason)
