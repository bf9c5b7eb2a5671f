"""All other ways across the synthetic gap, and the benchmark that compares them."""
