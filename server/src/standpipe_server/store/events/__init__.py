"""Events as they are stored: segments, pages of them, and those committed last."""
