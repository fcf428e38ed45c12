"""How the name of a database begins, wherever a table may be one."""

OPTIMADE = "optimade:"
MATERIALS_PROJECT = "mp:"
DATABASES = (OPTIMADE, MATERIALS_PROJECT)
