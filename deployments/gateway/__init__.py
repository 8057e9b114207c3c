"""HTTP: routes, keys, problem documents, events and the dashboard's files."""
