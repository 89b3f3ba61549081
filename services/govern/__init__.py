"""govern: keeps deployments, adjudications and the audit, and deletes what may be kept no longer."""
