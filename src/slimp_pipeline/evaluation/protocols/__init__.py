"""How a target is told apart: what is trained on frozen features, and scored."""
