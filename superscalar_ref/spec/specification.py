"""All of ``spec/`` as one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from superscalar_ref.spec.parameters import ParameterSet
from superscalar_ref.spec.table import Machine, Property, Variant


@dataclass(frozen=True)
class Specification:
    """The machines, parameters, properties and variants of one ``spec/`` directory."""

    directory: Path
    machines: tuple[Machine, ...]
    parameters: ParameterSet
    properties: tuple[Property, ...]
    variants: tuple[Variant, ...]

    def machine(self, name: str) -> Machine:
        """Return a machine. Raises KeyError when there is none of that name."""
        return {machine.name: machine for machine in self.machines}[name]

    def property(self, identity: str) -> Property:
        """Return the property with this id. Raises KeyError when there is none."""
        return {item.id: item for item in self.properties}[identity]

    def variant(self, identity: str) -> Variant:
        """Return the variant with this id. Raises KeyError when there is none."""
        return {item.id: item for item in self.variants}[identity]
