"""The catalogue of codes: what each rule says, why it is there, and an example with its mending."""

from archdsl.diagnostics.catalogue.building import BUILDING
from archdsl.diagnostics.catalogue.names import NAMES
from archdsl.diagnostics.catalogue.rule import Rule
from archdsl.diagnostics.catalogue.searches import SEARCHES
from archdsl.diagnostics.catalogue.shapes import SHAPES
from archdsl.diagnostics.catalogue.studies import STUDIES
from archdsl.diagnostics.catalogue.syntax import SYNTAX
from archdsl.diagnostics.catalogue.tasks import TASKS

__all__ = ["CATALOGUE", "Rule"]

CATALOGUE: dict[str, Rule] = SYNTAX | NAMES | SHAPES | SEARCHES | TASKS | STUDIES | BUILDING
