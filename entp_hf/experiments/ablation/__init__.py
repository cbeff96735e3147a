"""`entp study`: runs the variants of a study and compares them."""
