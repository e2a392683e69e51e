"""The registry: models, their versions, and what was in production when."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.registry.approving import Approvals as Approvals
    from treadle.registry.archive.service import Archives as Archives
    from treadle.registry.archive.signing import sign_archive as sign_archive
    from treadle.registry.cache import materialise as materialise
    from treadle.registry.card.rules import card_file as card_file
    from treadle.registry.card.rules import read_card_file as read_card_file
    from treadle.registry.card.service import Cards as Cards
    from treadle.registry.card.types import CardFormat as CardFormat
    from treadle.registry.card.types import CardText as CardText
    from treadle.registry.card.types import CardTexts as CardTexts
    from treadle.registry.card.types import NewCardText as NewCardText
    from treadle.registry.catalog import Catalog as Catalog
    from treadle.registry.catalog_import import import_model as import_model
    from treadle.registry.catalog_rules import check_stage as check_stage
    from treadle.registry.catalog_types import CatalogModel as CatalogModel
    from treadle.registry.catalog_types import CatalogVersion as CatalogVersion
    from treadle.registry.catalog_types import ImportCatalogModel as ImportCatalogModel
    from treadle.registry.catalog_types import NewCatalogVersion as NewCatalogVersion
    from treadle.registry.catalog_types import Stage as Stage
    from treadle.registry.changing import MLFLOW as MLFLOW
    from treadle.registry.format import LoadedModel as LoadedModel
    from treadle.registry.guards import has_reached as has_reached
    from treadle.registry.keeping import KeptByRegistry as KeptByRegistry
    from treadle.registry.lineage import Further as Further
    from treadle.registry.lineage import Lineages as Lineages
    from treadle.registry.lineage_types import MODEL_SOURCE as MODEL_SOURCE
    from treadle.registry.lineage_types import Lineage as Lineage
    from treadle.registry.lineage_types import LineageStep as LineageStep
    from treadle.registry.mlmodel import made_up_example as made_up_example
    from treadle.registry.mlmodel import read_example as read_example
    from treadle.registry.mlmodel import read_mlmodel as read_mlmodel
    from treadle.registry.openlineage.service import Backoff as Backoff
    from treadle.registry.openlineage.service import OpenLineage as OpenLineage
    from treadle.registry.pickles import check_loadable as check_loadable
    from treadle.registry.pickles import scan_folder as scan_folder
    from treadle.registry.registering import register_model as register_model
    from treadle.registry.rules import stage_of as stage_of
    from treadle.registry.service import Registry as Registry
    from treadle.registry.small import SmallBatches as SmallBatches
    from treadle.registry.types import Approval as Approval
    from treadle.registry.types import Field as Field
    from treadle.registry.types import FieldKind as FieldKind
    from treadle.registry.types import ModelFile as ModelFile
    from treadle.registry.types import ModelVersion as ModelVersion
    from treadle.registry.types import NewVersion as NewVersion
    from treadle.registry.types import Output as Output
    from treadle.registry.types import Passport as Passport
    from treadle.registry.types import Pickled as Pickled
    from treadle.registry.types import Registration as Registration
    from treadle.registry.types import Signature as Signature
    from treadle.registry.types import Standing as Standing
    from treadle.registry.types import Status as Status
    from treadle.registry.types import Transition as Transition

__getattr__, __all__ = attach(
    __name__,
    {
        "KeptByRegistry": "keeping",
        "Approval": "types",
        "Approvals": "approving",
        "Archives": "archive.service",
        "Backoff": "openlineage.service",
        "CardFormat": "card.types",
        "CardText": "card.types",
        "CardTexts": "card.types",
        "Cards": "card.service",
        "Catalog": "catalog",
        "CatalogModel": "catalog_types",
        "CatalogVersion": "catalog_types",
        "Field": "types",
        "FieldKind": "types",
        "Further": "lineage",
        "ImportCatalogModel": "catalog_types",
        "Lineage": "lineage_types",
        "LineageStep": "lineage_types",
        "Lineages": "lineage",
        "LoadedModel": "format",
        "MLFLOW": "changing",
        "MODEL_SOURCE": "lineage_types",
        "ModelFile": "types",
        "ModelVersion": "types",
        "NewCardText": "card.types",
        "NewCatalogVersion": "catalog_types",
        "NewVersion": "types",
        "Output": "types",
        "OpenLineage": "openlineage.service",
        "Passport": "types",
        "Pickled": "types",
        "Registration": "types",
        "Registry": "service",
        "Signature": "types",
        "SmallBatches": "small",
        "Stage": "catalog_types",
        "Standing": "types",
        "Status": "types",
        "Transition": "types",
        "card_file": "card.rules",
        "check_loadable": "pickles",
        "check_stage": "catalog_rules",
        "has_reached": "guards",
        "materialise": "cache",
        "import_model": "catalog_import",
        "read_card_file": "card.rules",
        "made_up_example": "mlmodel",
        "read_example": "mlmodel",
        "read_mlmodel": "mlmodel",
        "register_model": "registering",
        "scan_folder": "pickles",
        "sign_archive": "archive.signing",
        "stage_of": "rules",
    },
)
