"""The page of the server: one module for each screen, on the same objects as REST."""
