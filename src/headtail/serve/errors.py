"""What a request is refused with."""

__all__ = ["RefusedError"]


class RefusedError(ValueError):
    """A request that cannot be answered, with the HTTP status that says why.

    Parameters
    ----------
    status
        Of HTTP, 400 to 599.
    detail
        What must hold; what came; what to do.
    retry_after_s
        Seconds after which the same request may succeed; None if it never will.

    Examples
    --------
    >>> RefusedError(404, "The class must be known; got 'lynx'.").status
    404
    """

    def __init__(
        self, status: int, detail: str, *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after_s = status, detail, retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to the status."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        if self.retry_after_s is not None:
            return {"Retry-After": str(self.retry_after_s)}
        return {}
