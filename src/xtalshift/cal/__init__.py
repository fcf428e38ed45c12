"""Crystal Adversarial Learning (arXiv:2408.09297): pure step functions and the training loop."""
