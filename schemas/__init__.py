"""What crosses rooms and what is published: value types, configuration, Arrow schemas, names of files."""
