"""The methods: one file each, the formula first, then the estimator."""

from headtail.methods._base_head import shared_bases

__all__ = ["shared_bases"]
