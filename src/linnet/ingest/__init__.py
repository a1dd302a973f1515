"""What the objects mean: objects become model values and problems (pure)."""
