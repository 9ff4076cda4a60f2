"""The benchmark: strictpost against Postfix with a policy daemon. Run by tests/bench/run."""
