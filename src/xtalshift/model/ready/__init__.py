"""Ready models: trained on open tables, known by name; ``recipes.toml`` says how each is made."""

from xtalshift.model.ready.names import model_folder
from xtalshift.model.ready.recipe import Recipe, get_recipe, is_shipped, list_recipes

__all__ = ["Recipe", "get_recipe", "is_shipped", "list_recipes", "model_folder"]
