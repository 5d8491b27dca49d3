"""Separators of others behind the contract (`models.spec`), a small module each."""
