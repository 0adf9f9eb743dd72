"""Words for objects: the class that a detector saw, or a description by a video model that measurements have checked."""

from curation.objects.naming.entities import list_entities
from curation.objects.naming.words import name_objects

__all__ = ["list_entities", "name_objects"]
