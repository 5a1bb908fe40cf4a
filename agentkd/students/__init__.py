"""Students: the small models that learn."""
