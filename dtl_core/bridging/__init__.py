"""Domain-adaptation methods beyond the paper's, and the benchmark that compares them."""
