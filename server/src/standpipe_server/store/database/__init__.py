"""The database: its tables, how it is opened, upgraded and addressed. Imports no other room of the store."""
