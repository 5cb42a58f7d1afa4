"""The methods: one file each, the formula first, then the estimator."""
