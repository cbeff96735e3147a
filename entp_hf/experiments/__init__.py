"""Many runs, one table: `entp compare` and `entp study`."""
