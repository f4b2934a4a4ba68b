"""The one kind of failure that a user sees."""


class ExportError(Exception):
    """An export that cannot be done; its message is one sentence with the way out."""
