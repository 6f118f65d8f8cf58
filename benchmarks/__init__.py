"""Commands behind every figure that is quoted anywhere."""
