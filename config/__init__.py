"""Settings of a site: YAML files in, frozen validated values out. Imports nothing else of the project."""
